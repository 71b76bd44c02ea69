"""Every route by which files of repositories come and go, but those of Xet and LFS."""

from weighbridge.hub.repositories import (
    commit_routes,
    gguf_routes,
    git_routes,
    preupload_routes,
    resolve_routes,
    safetensors_routes,
)

ROUTES = (
    *resolve_routes.ROUTES,
    *preupload_routes.ROUTES,
    *commit_routes.ROUTES,
    *safetensors_routes.ROUTES,
    *git_routes.ROUTES,
    *gguf_routes.ROUTES,
)
