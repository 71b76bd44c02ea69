"""`SECURITY.md`: whom to tell of an incident, and how its users learn that a version was called back."""

import shlex

from weighbridge.dossier.markdown import escape
from weighbridge.dossier.release import ReleaseRecord

SECURITY_NAME = "SECURITY.md"


def security_policy(record: ReleaseRecord) -> bytes:
    """Return the text; what the publisher does not state is said to be open."""
    publisher = record.disclosure.publisher
    contact = publisher.security_contact or publisher.contact or record.texts.contact
    whom = (
        f"Report weaknesses and incidents of this version to {escape(contact)}."
        if contact.strip()
        else "The publisher states no contact for reports of weaknesses and incidents."
    )
    name = shlex.quote(record.reference)
    blocks = [
        f"# Security of {escape(record.reference)}",
        whom,
        "Say which version it is by the digest of its weights, so that nobody has to guess:",
        f"```text\n{record.subject}\n```",
        "## Is it still good?",
        "A version can be deprecated or recalled after it was published. What is said of it now stands outside of "
        "these files, signed by the publisher and with a date of expiry: an old answer cannot be passed off as new.",
        f"```sh\nweighbridge status {name} --hub HUB --root root.json\n```",
        "## How long it is looked after",
        "The publisher states no support window."
        if not (window := record.disclosure.statements.get("support.window", "").strip())
        else escape(window),
    ]
    return ("\n\n".join(blocks) + "\n").encode()
