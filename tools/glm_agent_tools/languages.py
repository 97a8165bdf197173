"""Which language a file is in, by its name."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

_BY_NAME: Final = {
    "dockerfile": "Dockerfile",
    "makefile": "Makefile",
    "gnumakefile": "Makefile",
    "cmakelists.txt": "CMake",
    "justfile": "Just",
    "rakefile": "Ruby",
    "gemfile": "Ruby",
    "jenkinsfile": "Groovy",
    "go.mod": "Go module",
    "go.sum": "Go module",
}

_ENDINGS: Final = {
    "Ada": "ada adb ads",
    "Assembly": "asm s",
    "Astro": "astro",
    "AsciiDoc": "adoc asciidoc",
    "Batch": "bat cmd",
    "C": "c h",
    "C#": "cs csx",
    "C++": "cc cpp cxx hh hpp hxx",
    "CMake": "cmake",
    "CSS": "css",
    "CSV": "csv tsv",
    "Clojure": "clj cljs cljc edn",
    "CoffeeScript": "coffee",
    "Cuda": "cu cuh",
    "D": "d",
    "Dart": "dart",
    "Diff": "diff patch",
    "Elixir": "ex exs",
    "Elm": "elm",
    "Erlang": "erl hrl",
    "F#": "fs fsi fsx",
    "Fortran": "f f77 f90 f95 f03",
    "Go": "go",
    "GraphQL": "graphql gql",
    "Groovy": "groovy gradle",
    "HCL": "hcl tf tfvars",
    "HTML": "html htm xhtml",
    "Haskell": "hs lhs",
    "INI": "ini cfg conf properties editorconfig",
    "JSON": "json jsonc json5 jsonl ndjson ipynb webmanifest",
    "Java": "java",
    "JavaScript": "js mjs cjs jsx",
    "Julia": "jl",
    "Kotlin": "kt kts",
    "Less": "less",
    "Lisp": "lisp el scm rkt",
    "Lua": "lua",
    "Makefile": "mk mak",
    "Markdown": "md markdown mdx",
    "MATLAB": "m",
    "Nim": "nim",
    "Nix": "nix",
    "OCaml": "ml mli",
    "Objective-C++": "mm",
    "PHP": "php",
    "Pascal": "pas pp",
    "Perl": "pl pm",
    "PowerShell": "ps1 psm1 psd1",
    "Prisma": "prisma",
    "Protocol Buffers": "proto",
    "Python": "py pyi pyx pxd",
    "R": "r rmd",
    "Ruby": "rb erb rake gemspec",
    "Rust": "rs",
    "SQL": "sql",
    "SVG": "svg",
    "Sass": "scss sass",
    "Scala": "scala sc sbt",
    "Shell": "sh bash zsh fish ksh",
    "Solidity": "sol",
    "Starlark": "bzl bazel star",
    "Svelte": "svelte",
    "Swift": "swift",
    "TOML": "toml",
    "TeX": "tex sty cls bib",
    "Text": "txt text log",
    "TypeScript": "ts tsx mts cts",
    "VHDL": "vhd vhdl",
    "Verilog": "v sv svh",
    "Vim script": "vim",
    "Vue": "vue",
    "WebAssembly": "wat wast",
    "XML": "xml xsd xsl xslt plist",
    "YAML": "yaml yml",
    "Zig": "zig",
    "reStructuredText": "rst",
}

_BY_ENDING: Final = {ending: language for language, endings in _ENDINGS.items() for ending in endings.split()}

OTHER: Final = "Other"


def language_of(path: str) -> str:
    """The language; ``Other`` where the name does not tell."""
    file = PurePosixPath(path.lower())
    if file.name.startswith("dockerfile."):
        return "Dockerfile"
    return _BY_NAME.get(file.name) or _BY_ENDING.get(file.suffix[1:]) or OTHER
