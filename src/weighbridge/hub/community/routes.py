"""Every route of gated access, discussions, pull requests and buckets."""

from weighbridge.hub.community import access_routes, bucket_routes, discussion_routes
from weighbridge.hub.http.route import Route, StreamRoute

ROUTES: tuple[Route | StreamRoute, ...] = (*access_routes.ROUTES, *discussion_routes.ROUTES, *bucket_routes.ROUTES)
