"""``python -m glm_agent``: the command line where the script is not on the path."""

from glm_agent.cli import main

main()
