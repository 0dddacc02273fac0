"""The states of a job, the same for all job kinds; a kind's own words stay on the wire."""

from __future__ import annotations

CREATED = "Created"
"""Waiting to run."""
EXECUTING = "Executing"
"""Running."""
FINISHED = "Finished"
"""Ended well."""
FAILED = "Failed"
"""Ended in an error."""
CANCELLED = "Cancelled"
"""Ended because somebody cancelled it: neither a success nor a failure."""

OPEN_STATES = (CREATED, EXECUTING)
ENDED_STATES = (FINISHED, FAILED, CANCELLED)
JOB_STATES = OPEN_STATES + ENDED_STATES
"""All states, in the order in which a job passes them; a state that is none of these counts as open."""
