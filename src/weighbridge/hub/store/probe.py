"""A small object that is written, read and deleted, to see whether a store can be used at all."""

import secrets

from weighbridge.hub.store.port import ByteStore, ByteStoreError


def probe(store: ByteStore) -> None:
    """Use the store once in each way that the server needs.

    Raises:
        ByteStoreError: with the first thing that failed.
    """
    key, data = f"probe/{secrets.token_hex(8)}", secrets.token_bytes(64)
    store.write(key, data)
    try:
        found = (store.read(key), store.read_range(key, 8, 24), store.size(key))
        if found != (data, data[8:24], len(data)):
            raise ByteStoreError(
                "what was written reads back differently",
                place=f"{store.place} {key}",
                hint="Something between this process and the store alters bytes: look at proxies and the disk.",
            )
    finally:
        store.delete((key,))
    if store.size(key) is not None:
        raise ByteStoreError(
            "an object that was deleted is still there",
            place=f"{store.place} {key}",
            hint="Allow this process to delete objects, and switch object locks and versions off for this store.",
        )
