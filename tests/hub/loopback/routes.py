"""The routes of the Hub and of its storage."""

from tests.hub.loopback import (
    endpoints_download as download,
    endpoints_listing as listing,
    endpoints_repositories as repositories,
    endpoints_spaces as spaces,
    endpoints_upload as upload,
)
from tests.hub.loopback.routing import Route

HUB = (
    Route("GET", "/api/whoami-v2", repositories.whoami),
    Route("POST", "/api/validate-yaml", repositories.validate_yaml),
    Route("POST", "/api/repos/create", repositories.create),
    Route("DELETE", "/api/repos/delete", repositories.delete),
    Route("GET", "/api/{kind}/{repo}", repositories.info),
    Route("GET", "/api/{kind}/{repo}/revision/{revision}", repositories.info),
    Route("PUT", "/api/{kind}/{repo}/settings", repositories.settings),
    Route("GET", "/api/{kind}/{repo}/auth-check", repositories.allowed),
    Route("GET", "/api/{kind}/{repo}/auth-check/write", repositories.allowed_to_write),
    Route("GET", "/api/{kind}/{repo}/refs", listing.refs),
    Route("GET", "/api/{kind}/{repo}/commits/{revision}", listing.commits),
    Route("POST", "/api/{kind}/{repo}/branch/{name}", listing.create_branch),
    Route("DELETE", "/api/{kind}/{repo}/branch/{name}", listing.delete_branch),
    Route("POST", "/api/{kind}/{repo}/tag/{name}", listing.create_tag),
    Route("DELETE", "/api/{kind}/{repo}/tag/{name}", listing.delete_tag),
    Route("GET", "/api/{kind}/{repo}/tree/{revision}", listing.tree),
    Route("GET", "/api/{kind}/{repo}/tree/{revision}/{path}", listing.tree),
    Route("POST", "/api/{kind}/{repo}/paths-info/{revision}", listing.paths_info),
    Route("POST", "/api/{kind}/{repo}/preupload/{revision}", upload.preupload),
    Route("POST", "/api/{kind}/{repo}/commit/{revision}", upload.commit),
    Route("GET", "/api/spaces/{repo}/runtime", spaces.get_runtime),
    Route("POST", "/api/spaces/{repo}/hardware", spaces.set_hardware),
    Route("POST", "/api/spaces/{repo}/sleeptime", spaces.set_sleep_time),
    Route("POST", "/api/spaces/{repo}/pause", spaces.pause),
    Route("POST", "/api/spaces/{repo}/restart", spaces.restart),
    Route("GET", "/api/spaces/{repo}/secrets", spaces.get_secrets),
    Route("POST", "/api/spaces/{repo}/secrets", spaces.set_secret),
    Route("DELETE", "/api/spaces/{repo}/secrets", spaces.delete_secret),
    Route("GET", "/api/spaces/{repo}/variables", spaces.get_variables),
    Route("POST", "/api/spaces/{repo}/variables", spaces.set_variable),
    Route("DELETE", "/api/spaces/{repo}/variables", spaces.delete_variable),
    Route("POST", "/{prefix}{repo}.git/info/lfs/objects/batch", upload.lfs_batch),
    Route("POST", "/{prefix}{repo}.git/info/lfs/objects/verify", upload.lfs_verify),
    Route("GET", "/{prefix}{repo}/resolve/{revision}/{path}", download.resolve),
)
STORAGE = (
    Route("PUT", "/storage/{type}/{repo}/{sha256}", download.put_object),
    Route("GET", "/storage/{type}/{repo}/{sha256}", download.get_object),
)
