"""Every route of repositories but those of commits, uploads and single files."""

from weighbridge.hub.repositories import (
    info_routes,
    large_file_routes,
    lifecycle_routes,
    like_routes,
    owner_routes,
    ref_routes,
    search_routes,
    tree_routes,
)

# First what is asked most: the web framework tries one path after another.
ROUTES = (
    *tree_routes.ROUTES,
    *info_routes.ROUTES,
    *ref_routes.ROUTES,
    *large_file_routes.ROUTES,
    *lifecycle_routes.ROUTES,
    *like_routes.ROUTES,
    *owner_routes.ROUTES,
    *search_routes.ROUTES,
)
