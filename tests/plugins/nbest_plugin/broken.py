"""A module that cannot be imported, because it needs one that is not installed."""

import a_module_that_is_not_installed  # noqa: F401
