"""Every route of the hub, in the order in which paths are tried."""

from weighbridge.hub.accounts.whoami_routes import ROUTES as WHOAMI
from weighbridge.hub.http.route import Route, StreamRoute

# One line a feature: (`from … import ROUTES as …` above, `*…` here).
ROUTES: tuple[Route | StreamRoute, ...] = (*WHOAMI,)
