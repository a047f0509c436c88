"""Site customize: Python imports it at every start where this folder is on PYTHONPATH, and so guards itself."""

import network_guard

network_guard.install()
