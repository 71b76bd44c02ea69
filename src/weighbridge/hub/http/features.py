"""Every route of the hub, in the order in which paths are tried."""

from weighbridge.hub.accounts.whoami_routes import ROUTES as WHOAMI
from weighbridge.hub.community.routes import ROUTES as COMMUNITY
from weighbridge.hub.content.lfs_routes import ROUTES as LFS
from weighbridge.hub.content.xet_routes import ROUTES as XET
from weighbridge.hub.http.route import Route, StreamRoute
from weighbridge.hub.http.unsupported import ROUTES as UNSUPPORTED
from weighbridge.hub.repositories.files import ROUTES as FILES
from weighbridge.hub.repositories.routes import ROUTES as REPOSITORIES

# One line a feature: (`from … import ROUTES as …` above, `*…` here).
ROUTES: tuple[Route | StreamRoute, ...] = (*WHOAMI, *XET, *REPOSITORIES, *FILES, *LFS, *COMMUNITY, *UNSUPPORTED)
