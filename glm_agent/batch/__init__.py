"""Many tasks in one go: a file of lines in, a file of results out, whatever is killed in between.

    lines      one line of a batch: its fields, its key, its mistakes
    source     the file of lines: checked whole before anything runs, then read again line by line
    results    one line of results, and the file they are appended to
    place      which batch it is: its id, kept by the file of results, and the one process that runs it
    agents     lines to agents, shared by all lines that differ in their prompt alone
    progress   what has been done so far, and the report at the end
    outage     what a failure says about the tasks still to come
    batch      Batch: puts it together and runs it

It builds agents and reads the journal; how a batch looks on a terminal is the command line's business.
"""

from glm_agent.batch.batch import Batch
from glm_agent.batch.progress import BatchReport, Progress
from glm_agent.batch.results import BatchResult

__all__ = ["Batch", "BatchReport", "BatchResult", "Progress"]
