"""A private PostgreSQL that the collector starts for itself: no port, no password, data that survives.

Started once however many processes ask, stopped by the last one that lets go. A process that is killed counts no more;
if it was the last, the server runs on until the next one has come and gone.
"""

from collector.embedded.errors import EmbeddedError
from collector.embedded.installation import Installation, find_installation
from collector.embedded.server import PrivateServer, acquire, default_data_dir

__all__ = ["EmbeddedError", "Installation", "PrivateServer", "acquire", "default_data_dir", "find_installation"]
