"""Reference pages for the documentation site: one page per header of include/precis, grouped by room.

MkDocs calls the on_* functions (mkdocs.yml, `hooks`). Doxygen has found the symbols (build/docs/xml); their comments are taken from the
headers themselves, because their layout - a summary, formulas, then labels such as `Errors` and `Cost` - means something.
"""

import logging
import re
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

log = logging.getLogger("mkdocs.precis")  # with --strict, a warning fails the build

TOP = Path(__file__).resolve().parents[2]
INCLUDE = TOP / "include"
XML = TOP / "build/docs/xml"

# From the values that every stage shares to the run-time part; a room that is missing here is an error.
ROOMS = {
    "core": "Values: views, units, scores, cost tables, plans, budgets",
    "model": "What a model offers",
    "measure": "Quantities measured in one pass over data",
    "score": "Scorers",
    "cost": "Costs",
    "allocate": "Allocators",
    "fit": "Fits: how codes are chosen",
    "codec": "Codecs: how weights are stored",
    "prune": "Pruning",
    "evaluate": "Reports",
    "kernel": "Kernels: the run-time part",
    "linear_algebra": "Linear algebra",
    "adapt": "Adaptors for other libraries",
    "": "Packing, and the umbrella header of each stage",
}
# A label of a comment: "Errors   text", "Errors, Cost   text", "@post   text".
LABEL = re.compile(r"^(@?[A-Z][\w ,@]{0,30}?|@post|@pre)(?:  +)(\S.*)$")


class Symbol:
    """A class, concept, function, alias, variable or enumeration at namespace scope."""

    def __init__(self, kind, name, header, line, declaration, comment):
        self.kind, self.name, self.header, self.line = kind, name, header, line
        self.declaration, self.comment = declaration, comment

    @property
    def short(self):
        return self.name.removeprefix("precis::")


def text_of(element):
    return "" if element is None else "".join(element.itertext()).strip()


class Source:
    """The lines of one header."""

    def __init__(self, header):
        self.lines = (INCLUDE / header).read_text().split("\n")

    def comment_above(self, line):
        """The `///` block that ends right above a 1-based line; declarations may begin with template or requires lines."""
        at = line - 2
        while at >= 0 and re.match(r"\s*(template\s*<|requires\b|\[\[|inline\b|\w[\w:<>, ]*$)", self.lines[at]) and "///" not in self.lines[at]:
            at -= 1
        block = []
        while at >= 0 and re.match(r"\s*///(?!<)", self.lines[at]):
            block.append(re.sub(r"^\s*/// ?", "", self.lines[at]))
            at -= 1
        return block[::-1]

    def trailing_comment(self, line):
        """The `///<` comment of a member: on its line and on the lines that continue it."""
        match = re.search(r"///< ?(.*)", self.lines[line - 1])
        if not match:
            return ""
        words = [match.group(1)]
        for following in self.lines[line:]:
            more = re.match(r"\s*///< ?(.*)", following)
            if not more:
                break
            words.append(more.group(1))
        return " ".join(words)

    def introduction(self):
        """The comment of the file: the first `///` block that no declaration follows directly."""
        for index, line in enumerate(self.lines):
            if line.startswith("///"):
                last = index
                while self.lines[last].startswith("///"):
                    last += 1
                if self.lines[last].strip() == "" or self.lines[last].startswith(("namespace", "#include")):
                    return [re.sub(r"^/// ?", "", text) for text in self.lines[index:last]]
                return []
        return []


def template_of(element):
    parameters = element.find("templateparamlist")
    if parameters is None:
        return ""
    names = []
    for p in parameters:
        words = [text_of(p.find("type")), text_of(p.find("declname"))]
        default = text_of(p.find("defval"))
        names.append(" ".join(w for w in words if w) + (f" = {default}" if default else ""))
    requires = text_of(element.find("requiresclause"))
    return f"template<{', '.join(names)}>\n" + (f"  requires {requires}\n" if requires else "")


def tidy(declaration):
    """The house style: `const T& x`, `span<float>`."""
    declaration = re.sub(r" ([&*]+)(?=[\w.])", r"\1 ", declaration)
    declaration = re.sub(r" ([&*]+)(?=[,)>]|$)", r"\1", declaration)
    return re.sub(r"(?<!operator)< ", "<", re.sub(r"(?<=[\w>&*]) >", ">", declaration))


def function_declaration(member, name=None):
    kind = text_of(member.find("type"))
    prefix = "static " if member.get("static") == "yes" else ""
    arguments = text_of(member.find("argsstring"))
    line = prefix + (kind + " " if kind else "") + (name or text_of(member.find("name"))) + arguments
    return tidy(template_of(member) + line) + ";"


def enum_declaration(member, source):
    lines = []
    for value in member.findall("enumvalue"):
        note = text_of(value.find("briefdescription")) or text_of(value.find("detaileddescription"))
        initial = text_of(value.find("initializer"))
        lines.append("  " + text_of(value.find("name")) + (" " + initial if initial else "") + "," + (f"  // {note}" if note else ""))
    strong = "enum class " if member.get("strong") == "yes" else "enum "
    return strong + text_of(member.find("name")) + " {\n" + "\n".join(lines) + "\n};"


def member_lines(member, source):
    line = int(member.find("location").get("line"))
    comment = ["// " + text if text else "//" for text in source.comment_above(line)]
    kind = member.get("kind")
    if kind == "function":
        declaration = function_declaration(member)
    elif kind == "enum":
        declaration = enum_declaration(member, source)
    elif kind == "typedef":
        declaration = tidy(template_of(member) + "using " + text_of(member.find("name")) + " = " + text_of(member.find("type"))) + ";"
    else:
        initial = text_of(member.find("initializer"))
        if "\n" in initial or len(initial) > 80:
            initial = "= ..."
        static = "static constexpr " if member.get("static") == "yes" else ""
        kind_text = text_of(member.find("type")).removeprefix("constexpr ").removeprefix("static ")
        declaration = tidy(static + kind_text + " " + text_of(member.find("name"))) + (" " + initial if initial else "") + ";"
    note = source.trailing_comment(line)
    result = comment + declaration.split("\n")
    if note:
        result[-1] += "  // " + note
    return result


def class_declaration(compound, source):
    name = text_of(compound.find("compoundname")).split("::")[-1]
    bases = ", ".join(b.get("prot") + " " + (b.text or "") for b in compound.findall("basecompoundref"))
    head = tidy(template_of(compound) + compound.get("kind") + " " + name) + (" : " + bases if bases else "") + " {"
    body = []
    members = [m for s in compound.findall("sectiondef") for m in s.findall("memberdef")
               if m.get("prot") == "public" and m.get("kind") in ("function", "variable", "typedef", "enum")]
    members.sort(key=lambda m: int(m.find("location").get("line")))
    for member in members:
        if text_of(member.find("type")) == "refused" or text_of(member.find("name")).startswith("~"):
            continue  # the overload that only explains what a model lacks
        lines = member_lines(member, source)
        if body and (lines[0].startswith("//") or len(lines) > 1):
            body.append("")
        body += ["  " + text if text else "" for text in lines]
    return head + ("\n" + "\n".join(body) + "\n" if body else "") + "};"


def read_symbols():
    """Every public symbol at namespace scope, by header."""
    if not (XML / "index.xml").exists():
        raise PluginError("build/docs/xml is missing: run scripts/docs, which runs Doxygen first")
    sources, symbols = {}, defaultdict(list)

    def source_of(header):
        if header not in sources:
            sources[header] = Source(header)
        return sources[header]

    for entry in ElementTree.parse(XML / "index.xml").getroot():
        if entry.get("kind") not in ("struct", "class", "concept", "namespace"):
            continue
        compound = ElementTree.parse(XML / (entry.get("refid") + ".xml")).getroot().find("compounddef")
        name = text_of(compound.find("compoundname"))
        if "detail" in name.split("::") or "@" in name:
            continue
        if compound.get("kind") == "namespace":
            for member in compound.iter("memberdef"):
                location = member.find("location")
                header, line = location.get("file"), int(location.get("line"))
                source = source_of(header)
                full = name + "::" + text_of(member.find("name"))
                kind = member.get("kind")
                if kind == "function":
                    declaration = function_declaration(member)
                elif kind in ("enum", "typedef", "variable"):
                    declaration = "\n".join(member_lines(member, source)[len(source.comment_above(line)):])
                    if kind == "variable":
                        declaration = tidy(template_of(member)) + declaration
                else:
                    continue
                symbols[header].append(Symbol(kind, full, header, line, declaration, source.comment_above(line)))
        else:
            location = compound.find("location")
            header, line = location.get("file"), int(location.get("line"))
            source = source_of(header)
            if compound.get("kind") == "concept":
                declaration = tidy(text_of(compound.find("initializer")).replace(name, name.split("::")[-1], 1)) + ";"
                kind = "concept"
            else:
                if compound.get("prot") == "private":
                    continue
                declaration, kind = class_declaration(compound, source), compound.get("kind")
            symbols[header].append(Symbol(kind, name, header, line, declaration, source.comment_above(line)))
    for found in symbols.values():
        found.sort(key=lambda s: s.line)
    return symbols, source_of


def escape(text):
    """Markdown of a comment line outside code: angle brackets and stars are meant literally."""
    parts = re.split(r"(`[^`]*`)", text)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([*_\[\]])", r"\\\1", parts[i]).replace("<", "&lt;").replace(">", "&gt;")
    return "".join(parts)


def render_comment(lines, link):
    """Summary and formulas as they stand; labels as a list of terms."""
    result, terms, code = [], [], []
    current = None

    def flush_code():
        nonlocal code
        while code and not code[-1].strip():
            code.pop()
        if code:
            cut = min(len(c) - len(c.lstrip()) for c in code if c.strip())
            result.extend(["", "```text", *[c[cut:] for c in code], "```", ""])
        code = []

    for line in lines:
        label = LABEL.match(line)
        if label:
            flush_code()
            current = [label.group(1).replace("@post", "Guarantee").replace("@pre", "Requires"), [label.group(2).strip()]]
            terms.append(current)
        elif current is not None and line.startswith("  "):
            current[1].append(line.strip())
        elif current is not None and not line.strip():
            current = None
        elif line.startswith("    ") or (code and not line.strip()):
            code.append(line)
        else:
            current = None
            flush_code()
            result.append(link(escape(line)))
    flush_code()
    if terms:
        result += ["", '<div class="contract" markdown>', ""]
        for name, text in terms:
            result += [name, ":   " + link(escape(" ".join(t for t in text if t))), ""]
        result += ["</div>", ""]
    return "\n".join(result)


def page_of(header):
    return "api/" + header.removeprefix("precis/").removesuffix(".hpp") + ".md"


def anchor_of(symbol):
    return re.sub(r"[^a-z0-9_.]+", "-", symbol.short.replace("::", ".").lower()).strip("-")


def summary_of(comment):
    words = " ".join(line for line in comment).split("  ")[0]
    match = re.match(r"(.+?[.:])(\s|$)", words)
    return match.group(1).rstrip(":") if match else words


def relative(page, target):
    depth = len(Path(page).parts) - 1
    return "../" * depth + target


def make_pages():
    symbols, source_of = read_symbols()
    headers = sorted("precis/" + str(p.relative_to(INCLUDE / "precis")) for p in (INCLUDE / "precis").rglob("*.hpp"))
    # Names that mean one thing only can be linked from running text.
    known = defaultdict(set)
    for found in symbols.values():
        for s in found:
            target = page_of(s.header) + "#" + anchor_of(s)
            for name in {s.name, s.short, s.name.split("::")[-1]}:
                known[name].add(target)
    pages, index = {}, ["# Reference", "", "One page per header, by room. The order of the rooms is that of "
                        "[the architecture](../architecture.md).", ""]
    rooms = defaultdict(list)
    for header in headers:
        parts = header.split("/")
        rooms[parts[1] if len(parts) > 2 else ""].append(header)
    for room in rooms:
        if room not in ROOMS:
            raise PluginError(f"scripts/site/api.py: the room {room} has no title in ROOMS")

    nav = []
    for room, title in ROOMS.items():
        index += [f"## {title}", "", "| header | declares |", "|---|---|"]
        entries = []
        for header in rooms[room]:
            page = page_of(header)

            def link(text):
                def one(match):
                    targets = known.get(match.group(1), ())
                    if len(targets) != 1:
                        return match.group(0)
                    return f"[`{match.group(1)}`]({relative(page, next(iter(targets)))})"
                return re.sub(r"`([\w:]+)`", one, text)

            source, found = source_of(header), symbols.get(header, [])
            lines = [f"# {header.split('/')[-1]}", "", "```cpp", f"#include <{header}>", "```", "",
                     render_comment(source.introduction(), link), ""]
            if not found:
                included = [i for i in re.findall(r"#include <(precis/[^>]+)>", "\n".join(source.lines)) if i in headers]
                lines += ["Includes:", ""] + [f"- [{i}]({relative(page, page_of(i))})" for i in included]
            anchors = set()
            for s in found:
                anchor = anchor_of(s)
                name = s.short.replace("_", "\\_")
                lines += [f"## {name}" + (f" {{ #{anchor} }}" if anchor not in anchors else ""), "", render_comment(s.comment, link), "",
                          "```cpp", s.declaration, "```", ""]
                anchors.add(anchor)
            pages[page] = "\n".join(lines)
            names = ", ".join(dict.fromkeys(f"[`{s.short}`](../{page}#{anchor_of(s)})" for s in found))
            names = names or "the headers of its stage"
            index.append(f"| [{header.removeprefix('precis/')}](../{page}) | {names} |")
            entries.append({header.removeprefix("precis/").removeprefix(room + "/").removesuffix(".hpp"): page})
        index.append("")
        nav.append({(room or "precis"): entries})
    pages["api/index.md"] = "\n".join(index)
    return pages, nav


def guides():
    """The navigation of docs/index.md: its headings and the pages they list, in their order."""
    nav, section, seen = [{"Home": "index.md"}], None, {"index.md"}
    for line in (TOP / "docs/index.md").read_text().split("\n"):
        if line.startswith("## "):
            section = []
            nav.append({line[3:].strip(): section})
        for target in re.findall(r"\]\(([^)#]+\.md)\)", line):
            if section is not None and target not in seen and not target.startswith(".."):
                seen.add(target)
                section.append(target)  # under its own heading
    return [entry for entry in nav if next(iter(entry.values()))]


def on_config(config):
    pages, api_nav = make_pages()
    config["precis_pages"] = pages
    config["nav"] = guides() + [{"Reference": ["api/index.md", *api_nav]}]
    return config


def on_files(files, config):
    for path, text in config["precis_pages"].items():
        files.append(File.generated(config, path, content=text))
    files.append(File.generated(config, "site.css", abs_src_path=str(Path(__file__).with_name("site.css"))))
    return files


def on_page_markdown(markdown, page, config, files):
    """Links out of docs/ lead to the reference page of a header, or to the file in the repository."""
    here = (TOP / "docs" / page.file.src_path).parent

    def target(match):
        path, _, fragment = match.group(2).partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match.group(0)
        full = (here / path).resolve()
        try:
            inside = full.relative_to(TOP)
        except ValueError:
            return match.group(0)
        if inside.parts[0] == "docs" or page.file.src_path.startswith("api/"):
            return match.group(0)
        if inside.parts[:2] == ("include", "precis") and inside.suffix == ".hpp":
            return f"{match.group(1)}({relative(page.file.src_path, page_of('/'.join(inside.parts[1:])))})"
        if not full.exists():
            log.warning("docs/%s: %s does not exist", page.file.src_path, path)
        kind = "tree" if full.is_dir() else "blob"
        return f"{match.group(1)}({config['repo_url']}/{kind}/main/{inside.as_posix()}{'#' + fragment if fragment else ''})"

    return re.sub(r"(\[[^\]]*\])\(([^)\s]+)\)", target, markdown)
