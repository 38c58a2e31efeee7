"""The pieces of ``dltool tune``: what may be tried, one trial, what comes next, the journal."""
