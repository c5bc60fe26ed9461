# SPDX-License-Identifier: Apache-2.0
"""Shows the tasks and the groups of a program that uses errgroup, in gdb.

    errgroup tasks    each thread's tasks, from the innermost outwards
    errgroup groups   each group that can be found, with its counts and its first error

and prints values of errgroup::error, errgroup::group and errgroup::result.

The commands need no debug information, and call nothing in the program: they work in a release build,
in a running program and on a core file. They ask the library where everything is: the symbol
errgroup_layout_v1 (src/layout.cpp). `strip` removes the symbol table of an executable; the commands
then find the same data in its section `errgroup_layout`. The printers need the debug information
of the code in which the values are.

How gdb finds this file:

- A shared errgroup with the prefix /usr has it in /usr/share/gdb/auto-load. The system's gdb reads
  it there.
- Each program that is linked with a static errgroup, and a shared errgroup with another prefix, have
  a copy in the section .debug_gdb_scripts. gdb reads the copy if the program, or the library, is in
  its safe path. If it is not, gdb says which line to add to ~/.gdbinit, such as

      add-auto-load-safe-path /home/me/project/build
      add-auto-load-safe-path /usr/local/lib/liberrgroup.so.1.0.0

  A program is not larger in memory for it. `strip` removes the copy (but see its option
  --keep-section). A build with -DERRGROUP_EMBED_GDB_SCRIPT=OFF has none.
- This line in ~/.gdbinit works for all programs:

      source /usr/local/share/errgroup/gdb/errgroup-gdb.py

A group is found if a task of it runs, if it was made in a task that runs, or if an observer was set
when it was made. A group whose tasks all wait, and that none of this is true of, is not found. The
place of a group, and the time and the waits of a task, are known for observed groups only.
"""

import re
import struct
import time

import gdb

VERSION = 1
MAGIC = b"errgroup"
ENTRY = struct.calcsize("24sQ")
MOST_ENTRIES = 1000
MOST = 100000  # members of a list; a longer list is damaged
TEXT = 200  # bytes of a name

byte_order = "little"  # of the program; set by `layouts`


class Trouble(Exception):
    """What the user is told instead of an answer."""


# --- memory ----------------------------------------------------------------------------------------


def read(address, size):
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except (gdb.MemoryError, gdb.error, OverflowError, ValueError):
        raise Trouble(f"the memory at {address:#x} cannot be read") from None


def number(address, size, signed=False):
    return int.from_bytes(read(address, size), byte_order, signed=signed)


def c_string(address):
    """The text up to its NUL, or the first TEXT bytes of it."""
    if address == 0:
        return ""
    found = b""
    while len(found) < TEXT:
        # Not across a page: the next one may not be readable.
        some = read(address + len(found), min(TEXT - len(found), 64 - (address + len(found)) % 64))
        end = some.find(b"\0")
        if end >= 0:
            return printable(found + some[:end])
        found += some
    return printable(found) + "..."


def printable(raw):
    text = raw.decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def symbol_at(address):
    """The symbol that begins at the address or contains it, demangled; or an empty text."""
    try:
        text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    except gdb.error:
        return ""
    return "" if text.startswith("No symbol") else re.split(r" \+ \d+| in section ", text)[0]


# --- the layout ------------------------------------------------------------------------------------


class Layout:
    """One errgroup in the process. A process may have several: shared libraries may each contain a
    static errgroup."""

    def __init__(self, address):
        if read(address, 8) != MAGIC:
            raise Trouble(f"the memory at {address:#x} should describe errgroup, but does not")
        self.version = number(address + 8, 4)
        if self.version != VERSION:
            raise other_version(self.version)
        used = number(address + 12, 4)
        if used > MOST_ENTRIES:
            raise Trouble(f"the description of errgroup at {address:#x} is damaged")
        pointer = gdb.lookup_type("char").pointer().sizeof
        head = 16 + 2 * pointer
        self.stacks = number(address + 16, pointer)
        self.observed = number(address + 16 + pointer, pointer)
        raw = read(address + head, used * ENTRY)
        self.all = {}
        for i in range(used):
            entry = raw[i * ENTRY : (i + 1) * ENTRY]
            name = entry[:24].split(b"\0")[0].decode("ascii", "replace")
            self.all[name] = int.from_bytes(entry[24:], byte_order)

    def __getitem__(self, name):
        if name not in self.all:
            raise Trouble(
                f"this errgroup does not say where its {name} is: it is older than this script. Use "
                "the errgroup-gdb.py that was installed with it"
            )
        return self.all[name]

    def pointer(self, address, member=None):
        return number(address + (self[member] if member else 0), self["pointer"])

    def size(self, address, member):
        return number(address + self[member], self["size"])

    def u64(self, address, member):
        return number(address + self[member], 8)

    def u32(self, address, member):
        return number(address + self[member], 4)

    def i32(self, address, member):
        return number(address + self[member], 4, signed=True)

    def string(self, address):
        """A std::string; an empty text if errgroup does not know how it is stored."""
        if not self["string.known"]:
            return ""
        size = self.size(address, "string.size")
        if size == 0:
            return ""
        text = printable(read(self.pointer(address, "string.begin"), min(size, TEXT)))
        return text if size <= TEXT else text + "..."

    def list(self, first, next_of, what):
        """The addresses in a list. A list that does not end is reported, not followed."""
        seen = set()
        while first != 0:
            if first in seen or len(seen) == MOST:
                raise Trouble(f"the list of {what} does not end: the memory is damaged")
            seen.add(first)
            yield first
            first = self.pointer(first, next_of)


def other_version(version):
    return Trouble(
        f"this errgroup describes itself with layout {version}, and this script reads layout "
        f"{VERSION}. Use the errgroup-gdb.py that was installed with that errgroup"
    )


def symbols():
    """The addresses of the layouts, and the versions of those that have another version."""
    found, versions = [], set()

    def add(address):
        if address not in found:
            found.append(address)

    # With debug information.
    try:
        add(int(gdb.parse_and_eval(f"(unsigned long) &errgroup_layout_v{VERSION}")))
    except gdb.error:
        pass
    try:
        listed = gdb.execute("info variables ^errgroup_layout_v", to_string=True)
    except gdb.error:
        listed = ""
    for address, version in re.findall(r"^(0x[0-9a-f]+)\s+errgroup_layout_v(\d+)$", listed, re.M):
        if int(version) == VERSION:
            add(int(address, 16))
        else:
            versions.add(int(version))
    # Without a symbol table. The section of an executable that is linked into another errgroup's
    # process is found here, too.
    try:
        listed = gdb.execute("info files", to_string=True)
    except gdb.error:
        listed = ""
    for address in re.findall(r"(0x[0-9a-f]+) - 0x[0-9a-f]+ is errgroup_layout", listed):
        add(int(address, 16))
    return found, versions


def layouts():
    if gdb.selected_inferior().pid == 0:
        raise Trouble("there is no process: start the program, attach to it, or load a core file")
    global byte_order
    byte_order = "big" if "big" in gdb.execute("show endian", to_string=True) else "little"
    found, versions = symbols()
    if not found and versions:
        raise other_version(min(versions))
    if not found:
        raise Trouble(
            "no errgroup is in this process. (If it is in an executable without section headers, load "
            "the unstripped executable with `file`.)"
        )
    return [Layout(address) for address in found]


# --- tasks -----------------------------------------------------------------------------------------


class Task:
    """A task that runs; or a frame without a task, of a thread that works for a group."""

    def __init__(self, layout, frame, group):
        self.layout, self.frame, self.group = layout, frame, group
        self.inner = 0  # the frame of its callable, in a task with a timeout
        self.label = layout.pointer(frame, "frame.label")
        index = layout.size(frame, "frame.index")
        self.index = None if index == (1 << 8 * layout["size"]) - 1 else index
        self.runs = index != layout["frame.no_task"]
        self.name, where = "", self.label
        if self.label % 2 != 0:
            note = self.label - 1
            self.name = layout.string(note + layout["note.name"])
            where = layout.pointer(note, "note.where")
        self.where = place(layout, where)
        self.shown = layout.pointer(frame, "frame.shown")

    def title(self):
        title = "task" if self.index is None else f"task {self.index}"
        return f'{title} "{self.name}"' if self.name else title

    def is_run(self):
        return self.runs

    def frames(self):
        return [self.frame, self.inner] if self.inner else [self.frame]

    def is_callable_of(self, outer):
        """True if `outer` has a timeout, and this is the frame of its callable, in a hidden group."""
        if self.runs or self.label == 0 or self.label != outer.label:
            return False
        node = self.group + self.layout["group.node"]
        return self.layout.pointer(node, "node.parent") == outer.frame

    def begun(self):
        """In ns; None if the task's group is not observed."""
        if self.shown == 0 or self.layout.u64(self.shown, "shown.group") == 0:
            return None
        return self.layout.u64(self.shown, "shown.begun")


class Thread:
    """A thread, with its tasks up to the first that cannot be read: `complain` is told of that."""

    def __init__(self, layout, stack, complain):
        self.layout = layout
        self.state = stack - layout["thread.stack"]
        self.number = layout.u32(self.state, "thread.number")
        self.lwp = number(self.state + layout["thread.lwp"], layout["long"])
        self.tasks = []  # from the outermost inwards
        self.base = stack + layout["stack.base"]
        try:
            self.add_tasks()
        except Trouble as trouble:
            complain(f"{self.title()}: {trouble}")

    def add_tasks(self):
        layout = self.layout
        above = layout.pointer(self.base, "frame.above")
        for frame in layout.list(above, "frame.above", "a thread's tasks"):
            owner = layout.pointer(frame, "frame.owner")
            if owner == 0:
                break
            task = Task(layout, frame, owner - layout["group.node"])
            if self.tasks and task.is_callable_of(self.tasks[-1]):
                self.tasks[-1].inner = frame
            else:
                self.tasks.append(task)

    def awaited(self):
        """The id of the observed group that a thread without a task waits for, and the kind."""
        shown = self.layout.pointer(self.base, "frame.shown")
        return self.layout.u64(shown, "shown.awaited") if shown != 0 else 0

    def title(self):
        for thread in gdb.selected_inferior().threads():
            if self.lwp != 0 and thread.ptid[1] == self.lwp:
                name = f' "{thread.name}"' if thread.name else ""
                return f"Thread {thread.num} (LWP {self.lwp}){name}"
        lwp = f", LWP {self.lwp}" if self.lwp != 0 else ""
        return f"A thread that gdb does not know (errgroup's thread {self.number}{lwp})"


def place(layout, where):
    """file:line of a std::source_location, which is a pointer; empty if it is not known."""
    if where == 0:
        return ""
    line = layout.u32(where, "place.line")
    file = c_string(layout.pointer(where, "place.file"))
    return f"{file.rpartition('/')[2]}:{line}" if line != 0 else ""


# --- groups ----------------------------------------------------------------------------------------


class Group:
    def __init__(self, layout, address):
        self.layout, self.address = layout, address
        self.extras = layout.pointer(address, "group.extras")
        self.seen = 0  # what is kept of an observed group
        self.name = ""
        if self.extras != 0:
            self.name = layout.string(self.extras + layout["extras.name"])
            self.seen = layout.pointer(self.extras, "extras.observed")
        node = address + layout["group.node"]
        self.parent = layout.pointer(node, "node.parent")
        self.state = layout.u32(node, "node.state")

    def title(self):
        """The name and the address, which tells groups of the same name apart."""
        return f'group "{self.name}" {self.address:#x}' if self.name else f"group {self.address:#x}"

    def limit(self):
        """None: there is none."""
        if self.extras == 0:
            return None
        limit = self.layout.i32(self.extras, "extras.limit")
        return None if limit & 0xFFFFFFFF == self.layout["group.unlimited"] else limit

    def counts(self, running):
        layout, limit = self.layout, self.limit()
        parts = [f"{running} running" if limit is None else f"{running} of {limit} running"]
        queue = layout.pointer(self.address, "group.queue")
        waiting = later = 0
        if queue != 0:
            later = layout.size(queue, "queue.later")
            if self.state & layout["bit.counted"]:
                waiting = layout.u32(queue, "queue.tasks") + layout.u32(queue, "queue.due")
            else:
                taken = layout.i32(queue, "queue.running")
                waiting = max(0, layout.size(queue, "queue.unfinished") - taken)
        if self.seen != 0:
            gone = layout.size(self.seen, "observation.dropped") + running + later
            for cell in range(layout["observation.cells"]):
                at = self.seen + layout["observation.ended"] + cell * layout["observation.cell"]
                gone += number(at, layout["size"])
            waiting = max(0, layout.size(self.seen, "observation.accepted") - gone)
        # A group that counts nothing does not know of the tasks that its tasks have spawned.
        exact = self.seen != 0 or self.state & layout["bit.counted"]
        parts.append(f"{waiting} waiting" if exact else f"at least {waiting} waiting")
        parts.append(f"{layout.size(self.address, 'group.failed')} failed")
        if later:
            parts.append(f"{later} timed")
        skipped = layout.size(self.address, "group.skipped")
        if skipped:
            parts.append(f"{skipped} skipped")
        return ", ".join(parts)

    def fate(self):
        layout = self.layout
        first = self.address + layout["group.first"]
        failed = ""
        if number(first + layout["first.state"], 1) == layout["first.is_kept"]:
            failed = f"first error: {error_text(layout, first + layout['first.error'])}"
        stopped = "cancelled" if self.state & layout["bit.stopped"] else ""
        return ", ".join(part for part in (stopped, failed) if part)

    def made(self):
        if self.seen == 0:
            return ""
        where = place(self.layout, self.layout.pointer(self.seen, "observation.where"))
        return f"made at {where}" if where else ""

    def number(self):
        """The number that the dump shows. 0: not observed."""
        return self.layout.u64(self.seen, "observation.id") if self.seen else 0


class Picture:
    """The threads and the groups that can be found from one errgroup."""

    def __init__(self, layout):
        self.layout = layout
        self.threads = []
        self.groups = {}  # by address
        self.complaints = []
        self.try_to(self.add_threads)
        self.threads.sort(key=lambda thread: thread.number)
        self.frames = {}  # the thread and the task of a frame
        self.parents = set()  # the frames in which groups are made
        for thread in self.threads:
            for task in thread.tasks:
                self.frames[task.frame] = (thread, task)
        for thread in self.threads:
            for task in thread.tasks:
                self.add(task.group)
                self.try_to(self.add_children, task)
        self.try_to(self.add_observed)

    def complain(self, text):
        if text not in self.complaints:
            self.complaints.append(text)

    def try_to(self, do, *arguments):
        """The rest of the picture is shown although a part of the memory is damaged."""
        try:
            do(*arguments)
        except Trouble as trouble:
            self.complain(str(trouble))

    def add_threads(self):
        first = self.layout.pointer(self.layout.stacks)
        for stack in self.layout.list(first, "stack.next", "threads"):
            self.threads.append(Thread(self.layout, stack, self.complain))

    def add(self, address):
        if address in self.groups or len(self.groups) == MOST:
            return
        try:
            self.groups[address] = Group(self.layout, address)
        except Trouble as trouble:
            self.complain(f"group {address:#x}: {trouble}")

    def add_children(self, task):
        hidden = self.layout.pointer(task.inner, "frame.owner") if task.inner else 0
        for frame in task.frames():
            self.parents.add(frame)
            first = self.layout.pointer(frame, "frame.children")
            for node in self.layout.list(first, "node.next", "a task's groups"):
                if node != hidden:
                    self.add(node - self.layout["group.node"])

    def add_observed(self):
        first = self.layout.pointer(self.layout.observed)
        for one in self.layout.list(first, "observation.next", "observed groups"):
            self.add(self.layout.pointer(one, "observation.group"))

    def running(self, group):
        return sum(task.group == group.address and task.is_run() for _, task in self.frames.values())

    def awaited(self, packed):
        """What a thread waits for: the group's number, and the kind in the lowest two bits."""
        if packed == 0:
            return ""
        groups = [g for g in self.groups.values() if g.number() == packed // 4]
        title = groups[0].title() if groups else f"group {packed // 4}"
        before = ("", "room in ", "a task of ", "the end of ")[packed % 4]
        after = ", in its destructor" if packed % 4 == 3 else ""
        return f"waits for {before}{title}{after}"


def is_live():
    """True if the program runs on this machine, so that its clock can be asked."""
    connection = getattr(gdb.selected_inferior(), "connection", None)
    return connection is not None and connection.type == "native"


def ages(picture):
    """A text for each frame with an observed task: how long it has run. A core file does not say when
    it was made; there the times are relative to the task that began last."""
    begun = {f: t.begun() for f, (_, t) in picture.frames.items()}
    known = {f: b for f, b in begun.items() if b is not None}
    if not known:
        return {}
    if is_live():
        now = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1e9)
        return {f: f"for {max(0, now - b) / 1e9:.1f} s" for f, b in known.items()}
    last = max(known.values())
    return {
        f: f"begun {(last - b) / 1e9:.1f} s before the last" if b != last else "begun last"
        for f, b in known.items()
    }


# --- errors ----------------------------------------------------------------------------------------


def error_text(layout, address):
    note = layout.pointer(address, "error.note")
    code = address + layout["error.code"]
    return error_words(
        layout,
        layout.i32(code, "code.value"),
        layout.pointer(code, "code.category"),
        layout.pointer(address, "error.exception"),
        note,
        layout.size(address, "error.others"),
    )


def error_words(layout, value, category, exception, note, others):
    """The failure, without a call in the program; "success" if it is none."""
    if value == 0 and exception == 0 and note == 0:
        return "success"
    origin = []
    if note != 0:
        one = layout.pointer(note, "note.one")
        exception = layout.pointer(one, "note.exception") or exception
        path = layout.string(one + layout["note.path"]) or layout.string(one + layout["note.name"])
        index = layout.size(one, "note.index")
        if index != (1 << 8 * layout["size"]) - 1:
            origin.append(f"task {index}")
        if path:
            origin.append(f'"{path}"')
        where = place(layout, layout.pointer(one, "note.where"))
        if where:
            origin.append(f"run at {where}")
    text = exception_text(layout, exception) if exception else code_text(layout, value, category)
    if origin:
        text += f" ({', '.join(origin)})"
    if others:
        text += f", and {others} more"
    return text


ERRC = "canceled deadline_exceeded would_deadlock exception failed stop_repeating too_few no_more"


def code_text(layout, value, category):
    table = symbol_at(layout.pointer(category)) if category else ""
    table = re.sub(r"^vtable for ", "", table)
    if table.startswith("errgroup::"):
        names = ERRC.split()
        if 0 < value <= len(names):
            return f"errgroup::errc::{names[value - 1]}"
    category = table or (f"the category at {category:#x}" if category else "no category")
    return f"code {value} of {category}"


def exception_text(layout, exception):
    """The type of a thrown object, and its text if it is one of the standard library's. The Itanium
    C++ ABI has the header of the object in front of it; its first member is the type."""
    pointer = layout["pointer"]
    if pointer != 8:
        return f"an exception at {exception:#x}"
    try:
        kind = layout.pointer(exception - 112)
        mangled = c_string(layout.pointer(kind + pointer))
        name = demangled(mangled)
        for _ in range(20):
            if mangled in ("St13runtime_error", "St11logic_error"):
                return f'{name}: "{c_string(layout.pointer(exception + pointer))}"'
            # One base, at the same address: the type_info goes on with the base's.
            if "__si_class_type_info" not in symbol_at(layout.pointer(kind)):
                break
            kind = layout.pointer(kind + 2 * pointer)
            mangled = c_string(layout.pointer(kind + pointer))
        return name
    except Trouble:
        return f"an exception at {exception:#x}"


def demangled(name):
    """Of a type; the name itself if it cannot be demangled."""
    try:
        text = gdb.execute(f"demangle -l c++ -- _ZTI{name.lstrip('*')}", to_string=True).strip()
    except gdb.error:
        return name
    return re.sub(r"^typeinfo for ", "", text)


# --- commands --------------------------------------------------------------------------------------


class Prefix(gdb.Command):
    """Shows the tasks and the groups of errgroup: `errgroup tasks`, `errgroup groups`."""

    def __init__(self):
        super().__init__("errgroup", gdb.COMMAND_STATUS, prefix=True)

    def invoke(self, argument, _from_tty):
        if argument.strip():
            raise gdb.GdbError(f"errgroup: there is no command {argument!r}: see `help errgroup`")
        gdb.execute("help errgroup")


def show(command, argument, write):
    if argument.strip():
        raise gdb.GdbError(f"errgroup: `errgroup {command}` takes no argument, and got {argument!r}")
    try:
        found = layouts()
    except (Trouble, gdb.error) as trouble:
        raise gdb.GdbError(f"errgroup: {trouble}") from None
    for i, layout in enumerate(found):
        if len(found) > 1:
            print(f"errgroup {i + 1} of {len(found)} in this process:")
        try:
            picture = Picture(layout)
            write(picture)
            for complaint in picture.complaints:
                print(f"errgroup: {complaint}")
        except (Trouble, gdb.error) as trouble:
            raise gdb.GdbError(f"errgroup: {trouble}") from None


class Tasks(gdb.Command):
    """Shows the tasks of each thread, from the innermost outwards: errgroup tasks

Each task has its index in the group and its name (if it has one), its group, and the place of the
`run` or other call to which it was given. If the group is observed (errgroup/observer.hpp): since when
it runs, and which observed group it waits for. Threads without a task are left out."""

    def __init__(self):
        super().__init__("errgroup tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, _from_tty):
        show("tasks", argument, self.write)

    @staticmethod
    def write(picture):
        age = ages(picture)
        shown = 0
        for thread in picture.threads:
            waits = "" if thread.tasks else picture.awaited(thread.awaited())
            if not thread.tasks and not waits:
                continue
            print(f"{thread.title()}{': ' + waits if waits else ''}")
            for i, task in enumerate(reversed(thread.tasks)):
                group = picture.groups.get(task.group)
                title = group.title() if group else f"group {task.group:#x}"
                parts = [f"{task.title()} of {title}"]
                if not task.is_run():
                    parts = [f"inside {title}, but in no task of it"]
                if task.where:
                    parts.append(f"run at {task.where}")
                if task.frame in age:
                    parts.append(age[task.frame])
                if task.shown:
                    parts.append(picture.awaited(picture.layout.u64(task.shown, "shown.awaited")))
                print(f"  #{i:<2} {', '.join(part for part in parts if part)}")
                shown += 1
        if shown == 0:
            print("No thread runs a task.")


class Groups(gdb.Command):
    """Shows the groups that can be found, each below the task that made it: errgroup groups

Found are the groups of tasks that run, the groups that were made in such tasks, and observed groups
(errgroup/observer.hpp). The place of a group is known if it is observed."""

    def __init__(self):
        super().__init__("errgroup groups", gdb.COMMAND_STATUS)

    def invoke(self, argument, _from_tty):
        show("groups", argument, self.write)

    @staticmethod
    def write(picture):
        done = set()

        def write_group(group, depth):
            if group.address in done:
                return
            done.add(group.address)
            parts = []
            for part in (lambda: group.counts(picture.running(group)), group.made, group.fate):
                picture.try_to(lambda part=part: parts.append(part()))
            print(f"{'  ' * depth}{group.title()}: {', '.join(p for p in parts if p)}")
            for thread in picture.threads:
                for task in thread.tasks:
                    children = [g for g in picture.groups.values() if g.parent in task.frames()]
                    if task.group == group.address and children:
                        print(f"{'  ' * (depth + 1)}in {task.title()}, {thread.title()}:")
                        for child in children:
                            write_group(child, depth + 2)

        for group in picture.groups.values():
            if group.parent not in picture.parents:
                write_group(group, 0)
        for group in list(picture.groups.values()):
            write_group(group, 0)  # damaged memory may have groups that are their own parents
        if not picture.groups:
            print("No group is found.")


# --- printers --------------------------------------------------------------------------------------


def own_layout():
    return layouts()[0]


def text_or_trouble(write):
    try:
        return write()
    except Trouble as trouble:
        return f"<{trouble}>"
    except gdb.error as trouble:
        return f"<{trouble}>"


def member(value, *names):
    """The first of the members that the value has: the two standard libraries differ."""
    have = [field.name for field in value.type.strip_typedefs().fields()]
    for name in names:
        if name in have:
            return value[name]
    raise Trouble(f"{value.type} has no member {' or '.join(names)}")


def words_of(error):
    code = error["code_"]
    return error_words(
        own_layout(),
        int(member(code, "_M_value", "__val_")),
        int(member(code, "_M_cat", "__cat_")),
        int(member(error["exception_"], "_M_exception_object", "__ptr_")),
        int(error["note_"]),
        int(error["others_"]),
    )


class ErrorPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return text_or_trouble(lambda: words_of(self.value))


class GroupPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return text_or_trouble(self.text)

    def text(self):
        address = self.value["core_"].address
        if address is None:
            raise Trouble("the group is not in memory")
        picture = Picture(own_layout())
        picture.add(int(address))
        group = picture.groups.get(int(address))
        if group is None:
            raise Trouble(picture.complaints[-1])
        parts = (group.counts(picture.running(group)), group.made(), group.fate())
        return f"{group.title()}: {', '.join(p for p in parts if p)}"


class ResultPrinter:
    """The value, as a child; or the error."""

    def __init__(self, value):
        self.value = value

    def has_value(self):
        try:
            return words_of(self.value["error_"]) == "success"
        except (Trouble, gdb.error):
            return False

    def to_string(self):
        if not self.has_value():
            return text_or_trouble(lambda: f"error: {words_of(self.value['error_'])}")
        return "success"

    def children(self):
        fields = self.value.type.strip_typedefs().fields()
        if self.has_value() and any(field.name == "value_" for field in fields):
            yield "value", contained(self.value["value_"])


def contained(optional):
    """The value in a std::optional; the optional itself if its members have other names."""
    try:
        return optional["_M_payload"]["_M_payload"]["_M_value"]  # libstdc++
    except gdb.error:
        pass
    try:
        return optional["__val_"]  # libc++
    except gdb.error:
        return optional


def printer(value):
    name = value.type.strip_typedefs().unqualified().name or ""
    name = re.sub(r"^errgroup::v\d+::", "errgroup::", name)  # without the inline namespace of the ABI
    if name == "errgroup::error":
        return ErrorPrinter(value)
    if name == "errgroup::group":
        return GroupPrinter(value)
    if name.startswith("errgroup::result<"):
        return ResultPrinter(value)
    return None


printer.__name__ = "errgroup"
printer.enabled = True

Prefix()
Tasks()
Groups()
# A second reading takes the place of the first.
gdb.pretty_printers[:] = [p for p in gdb.pretty_printers if getattr(p, "__name__", "") != "errgroup"]
gdb.pretty_printers.append(printer)
