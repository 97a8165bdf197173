"""The standard toolbox: one file per family of tools, found through entry points like anybody's plugin.

    files    list, read, write, edit, count
    search   find text in files, find files by name
    text     count, compare, tally, pick lines of a given text
    tables   SQL on CSV, TSV and JSON lines
    sqlite   SQL on databases
    git      what the history of a repository says, in figures
    shell    run a program, confined
    python   run a script, confined
    programs a program that calls the other tools, confined
    http     ask addresses that are allowed
    web      search the web and read its pages, through GLM's service
    time     what time it is, reckoning with dates
    think    think aloud
    todo     keep a list of what is to be done

Tools are written against ``from glm_agent import …`` alone. They work inside one folder, the
workspace (see ``workspace``), declare what they change, bound what they return, and say what to do
instead where they refuse. Programs and queries run confined (see ``sandbox``).
"""
