"""A PACS node: studies come in, are analysed, and their results go back.

settings    what a site says about its node, in a TOML file
receiving   C-ECHO and C-STORE, for configured peers alone
dimse       C-STORE, C-FIND and C-MOVE, asked of others
dicomweb    QIDO, WADO and STOW; `multipart` is how their messages are written
intake      an object becomes part of a study: checked, kept, written down
store       objects on the disk
queue       what is known of every study, in SQLite
earlier     the patient's earlier studies
working     one analysis in a process of its own
sending     results to their destinations
node        the whole
"""

from glasslung.node.settings import NodeSettings, read_settings

__all__ = ["NodeSettings", "read_settings"]
