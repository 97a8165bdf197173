"""The standard toolbox: one file per family of tools, found through entry points like anybody's plugin.

    files    list, read, write, edit, count
    search   find text in files, find files by name
    text     count, compare, tally, pick lines of a given text
    git      what the history of a repository says, in figures

Tools are written against ``from glm_agent import …`` alone. They work inside one folder, the
workspace (see ``workspace``), declare what they change, bound what they return, and say what to do
instead where they refuse.
"""
