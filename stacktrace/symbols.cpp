// SPDX-License-Identifier: Apache-2.0
#include "symbols.hpp"

#include <cxxabi.h>             // __cxa_demangle
#include <dwarf.h>              // DW_AT_..., DW_TAG_...
#include <elfutils/libdw.h>     // Dwarf_..., dwarf_...
#include <elfutils/libdwelf.h>  // dwelf_elf_gnu_build_id
#include <elfutils/libdwfl.h>   // Dwfl..., dwfl_...
#include <fcntl.h>              // open
#include <link.h>               // dl_iterate_phdr, ElfW
#include <unistd.h>             // close, readlink

#include <array>        // array
#include <cstddef>      // size_t
#include <cstdint>      // uint_least32_t, uintptr_t
#include <cstdlib>      // free
#include <cstring>      // memcmp, strdup
#include <memory>       // unique_ptr
#include <mutex>        // mutex, scoped_lock
#include <string>       // string
#include <string_view>  // string_view
#include <utility>      // move
#include <vector>       // vector

namespace errgroup::inline v1::detail {
namespace {

struct free_memory {
  void operator()(void* p) const noexcept { std::free(p); }
};
template <class T>
using from_malloc = std::unique_ptr<T, free_memory>;

// --- finding files ---------------------------------------------------------------------------

// libdwfl's own callbacks ask the servers that DEBUGINFOD_URLS names. These look at this machine
// only: nobody who asks for a stack waits for a network.

constexpr char const* the_program = "/proc/self/exe";  // also if its file was replaced

int open_file(char const* path) noexcept { return open(path, O_RDONLY | O_CLOEXEC); }

/// Tells libdwfl the path, which it frees.
int found(int file, char const* path, char** path_of_file) noexcept {
  *path_of_file = strdup(path);
  return file;
}

bool has_build_id(int file, unsigned char const* wanted, std::size_t length) noexcept {
  Elf* const elf = elf_begin(file, ELF_C_READ_MMAP, nullptr);
  void const* id = nullptr;
  bool const fits = dwelf_elf_gnu_build_id(elf, &id) == static_cast<ssize_t>(length) &&
                    std::memcmp(id, wanted, length) == 0;
  elf_end(elf);
  return fits;
}

/// The file of a library or of the program. Not the kernel's own pages, which have none, and not
/// another file that has taken the place of what was loaded.
int find_file(Dwfl_Module* module, void**, char const* name, Dwarf_Addr, char** path,
              Elf**) noexcept {
  if (std::string_view(name).find('/') == std::string_view::npos) {
    return -1;
  }
  int const file = open_file(name);
  unsigned char const* id = nullptr;
  GElf_Addr address = 0;
  int const length = dwfl_module_build_id(module, &id, &address);  // as it is in memory
  if (file >= 0 && length > 0 && !has_build_id(file, id, static_cast<std::size_t>(length))) {
    close(file);
    return -1;
  }
  return file < 0 ? -1 : found(file, name, path);
}

std::string hex(unsigned char const* bytes, std::size_t n) {
  std::string text;
  for (std::size_t i = 0; i != n; ++i) {
    text += "0123456789abcdef"[bytes[i] >> 4];
    text += "0123456789abcdef"[bytes[i] & 15];
  }
  return text;
}

/// With a slash at the end.
std::string folder_of(std::string path) {
  if (path == the_program) {
    std::array<char, 4096> target;
    auto const length = readlink(the_program, target.data(), target.size());
    path.assign(target.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
  }
  path.resize(path.rfind('/') + 1);
  return path;
}

/// Separate debug information, in the places that GDB looks in: by build id, or by the name that
/// `link` gives.
int find_debug_file(Dwfl_Module* module, void**, char const*, Dwarf_Addr, char const* file,
                    char const* link, GElf_Word checksum, char** path) noexcept {
  try {
    if (link != nullptr && checksum == 0) {  // what dwz took out of several, named in full
      int const alternative = link[0] == '/' ? open_file(link) : -1;
      return alternative < 0 ? -1 : found(alternative, link, path);
    }
    unsigned char const* id = nullptr;
    GElf_Addr address = 0;
    int const found_length = dwfl_module_build_id(module, &id, &address);
    if (found_length <= 1) {
      return -1;  // nothing would tell that a file belongs to it
    }
    auto const length = static_cast<std::size_t>(found_length);
    std::string const global = "/usr/lib/debug";
    std::vector<std::string> candidates = {global + "/.build-id/" + hex(id, 1) + '/' +
                                           hex(id + 1, length - 1) + ".debug"};
    if (link != nullptr && file != nullptr) {
      std::string const folder = folder_of(file);
      for (std::string const& place : {folder, folder + ".debug/", global + folder}) {
        candidates.push_back(place + link);
      }
    }
    for (std::string const& candidate : candidates) {
      if (int const debug_file = open_file(candidate.c_str()); debug_file >= 0) {
        if (has_build_id(debug_file, id, length)) {
          return found(debug_file, candidate.c_str(), path);
        }
        close(debug_file);
      }
    }
  } catch (...) {  // no memory; and libdwfl is C
  }
  return -1;
}

// --- what there is ---------------------------------------------------------------------------

/// How much of a note something of this size takes.
std::size_t padded(std::size_t size) noexcept { return (size + 3) / 4 * 4; }

/// Tells libdwfl, and so `find_file`, the build id that is in memory, among the notes that begin at
/// `address`.
void report_build_id(Dwfl_Module* module, std::uintptr_t address, std::size_t size) noexcept {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells it as a number
  auto const* const notes = reinterpret_cast<unsigned char const*>(address);
  ElfW(Nhdr) header;
  for (std::size_t at = 0; at + sizeof header <= size;) {
    std::memcpy(&header, notes + at, sizeof header);
    std::size_t const name = at + sizeof header;
    std::size_t const content = name + padded(header.n_namesz);
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == sizeof "GNU" &&
        std::memcmp(notes + name, "GNU", sizeof "GNU") == 0) {
      dwfl_module_report_build_id(module, notes + content, header.n_descsz, address + content);
      return;
    }
    at = content + padded(header.n_descsz);
  }
}

/// Called for the program and each library that is loaded.
int report_object(dl_phdr_info* object, std::size_t, void* data) noexcept {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  for (int i = 0; i != object->dlpi_phnum; ++i) {
    ElfW(Phdr) const& segment = object->dlpi_phdr[i];
    if (segment.p_type == PT_LOAD) {
      if (end == 0) {  // they are in the order of their addresses
        begin = object->dlpi_addr + (segment.p_vaddr & -segment.p_align);
      }
      end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
    }
  }
  char const* const name = object->dlpi_name[0] == '\0' ? the_program : object->dlpi_name;
  Dwfl_Module* const module = dwfl_report_module(static_cast<Dwfl*>(data), name, begin, end);
  for (int i = 0; module != nullptr && i != object->dlpi_phnum; ++i) {
    ElfW(Phdr) const& segment = object->dlpi_phdr[i];
    if (segment.p_type == PT_NOTE && segment.p_align <= 4) {
      report_build_id(module, object->dlpi_addr + segment.p_vaddr, segment.p_memsz);
    }
  }
  return 0;
}

/// What the process has loaded, as libdwfl sees it. Made at the first use, never destroyed: it may
/// be asked until the end of the process.
Dwfl* look_around() noexcept {
  static constinit Dwfl_Callbacks const callbacks{find_file, find_debug_file, nullptr, nullptr};
  static Dwfl* const all = [] {
    elf_version(EV_CURRENT);
    return dwfl_begin(&callbacks);
  }();
  if (all != nullptr) {
    // Anew each time: libraries come and go. What is known of those that stay is kept. Not
    // dwfl_linux_proc_report: that takes what libdw itself has mapped of a library's file, to read
    // it, for more of the library.
    dwfl_report_begin(all);
    dl_iterate_phdr(report_object, all);
    dwfl_report_end(all, nullptr, nullptr);
  }
  return all;
}

// --- reading them ----------------------------------------------------------------------------

/// `ns::f(int)` for `_ZN2ns1fEi`, what is not such a name as it is.
std::string demangled(char const* name) {
  std::string_view const text = name == nullptr ? "" : name;
  if (text.starts_with("_Z")) {
    int status = 0;
    from_malloc<char> const readable(abi::__cxa_demangle(name, nullptr, nullptr, &status));
    if (readable != nullptr) {
      return readable.get();
    }
  }
  return std::string(text);
}

/// The entry itself and all that it is written in, from the inside out.
std::vector<Dwarf_Die> with_parents(Dwarf_Die die) {
  Dwarf_Die* scopes = nullptr;
  int const n = dwarf_getscopes_die(&die, &scopes);
  from_malloc<Dwarf_Die> const owner(scopes);
  return n > 0 ? std::vector<Dwarf_Die>(scopes, scopes + n) : std::vector<Dwarf_Die>();
}

/// The entry that this one completes: of an inlined call the function, of a function its
/// declaration.
Dwarf_Die declaration_of(Dwarf_Die die) {
  for (auto const what : {DW_AT_abstract_origin, DW_AT_specification}) {
    Dwarf_Attribute attribute;
    Dwarf_Die origin;
    if (dwarf_attr(&die, static_cast<unsigned>(what), &attribute) != nullptr &&
        dwarf_formref_die(&attribute, &origin) != nullptr) {
      die = origin;
    }
  }
  return die;
}

/// `ns::f` from the names of the entries that it is declared in.
std::string qualified_name(Dwarf_Die function) {
  std::string name;
  bool is_function_itself = true;
  for (Dwarf_Die& scope : with_parents(declaration_of(function))) {
    char const* part = dwarf_diename(&scope);
    switch (dwarf_tag(&scope)) {
      case DW_TAG_namespace:
        part = part == nullptr ? "(anonymous namespace)" : part;
        break;
      case DW_TAG_class_type:
      case DW_TAG_structure_type:
      case DW_TAG_union_type:
        part = part == nullptr ? "{unnamed type}" : part;  // a lambda's
        break;
      case DW_TAG_subprogram:
        if (!is_function_itself) {  // what it is local to, which may be declared elsewhere
          return qualified_name(scope) + "::" + name;
        }
        is_function_itself = false;
        break;
      default:
        continue;
    }
    if (part != nullptr) {
      name.insert(0, name.empty() ? "" : "::").insert(0, part);
    }
  }
  return name;
}

/// The name that the linker knows a function by, readable; GCC gives it to what has external
/// linkage only. Empty if there is none.
std::string linkage_name(Dwarf_Die function) {
  Dwarf_Attribute attribute;
  return dwarf_attr_integrate(&function, DW_AT_linkage_name, &attribute) != nullptr
             ? demangled(dwarf_formstring(&attribute))
             : std::string();
}

std::string name_of(Dwarf_Die function) {
  std::string name = linkage_name(function);
  return name.empty() ? qualified_name(function) : name;
}

/// The compilation unit of an address of this module, or null, and by how much the addresses in
/// its debug information are less.
Dwarf_Die* unit_of(Dwfl_Module* module, Dwarf_Addr address, Dwarf_Addr& bias) noexcept {
  Dwarf_Die* unit = dwfl_module_addrdie(module, address, &bias);
  if (unit != nullptr && dwarf_haspc(unit, address - bias) > 0) {
    return unit;
  }
  // That one goes by an index which Clang does not write, and may name a neighbour.
  unit = nullptr;
  while ((unit = dwfl_module_nextcu(module, unit, &bias)) != nullptr) {
    if (dwarf_haspc(unit, address - bias) > 0) {
      break;
    }
  }
  return unit;
}

/// Adds the entries below `parent` that the address is in: the function, then what was inlined into
/// it there, one into the other, with the blocks in between. False if there are none.
///
/// Not dwarf_getscopes: that does not look into namespaces, where Clang puts what was defined
/// there.
bool find_scopes(Dwarf_Die parent, Dwarf_Addr address, std::vector<Dwarf_Die>& path) {
  Dwarf_Die die;
  if (dwarf_child(&parent, &die) != 0) {
    return false;
  }
  do {
    switch (dwarf_tag(&die)) {
      case DW_TAG_namespace:
        if (find_scopes(die, address, path)) {
          return true;
        }
        break;
      case DW_TAG_subprogram:
      case DW_TAG_inlined_subroutine:
      case DW_TAG_lexical_block:
      case DW_TAG_try_block:
      case DW_TAG_catch_block:
        if (dwarf_haspc(&die, address) > 0) {
          path.push_back(die);
          find_scopes(die, address, path);
          return true;
        }
        break;
      default:
        break;
    }
  } while (dwarf_siblingof(&die, &die) == 0);
  return false;
}

void set_place(stack_frame& frame, char const* file, Dwarf_Word line) {
  if (file != nullptr && line != 0) {
    frame.file = file;
    frame.line = static_cast<std::uint_least32_t>(line);
  }
}

/// The place that an inlined call is made from.
void set_call(stack_frame& frame, Dwarf_Die& unit, Dwarf_Die& inlined) {
  Dwarf_Attribute attribute;
  Dwarf_Word file = 0;
  Dwarf_Word line = 0;
  Dwarf_Files* files = nullptr;
  std::size_t n = 0;
  if (dwarf_formudata(dwarf_attr(&inlined, DW_AT_call_file, &attribute), &file) == 0 &&
      dwarf_formudata(dwarf_attr(&inlined, DW_AT_call_line, &attribute), &line) == 0 &&
      dwarf_getsrcfiles(&unit, &files, &n) == 0) {
    set_place(frame, dwarf_filesrc(files, file, nullptr, nullptr), line);
  }
}

/// Adds one call to the stack, after those that were inlined into it.
void read_call(Dwfl* all, std::uintptr_t address, std::vector<stack_frame>& stack) {
  stack_frame frame{.address = address};
  Dwfl_Module* const module = all == nullptr ? nullptr : dwfl_addrmodule(all, address);
  if (module == nullptr) {
    stack.push_back(std::move(frame));
    return;
  }
  Dwarf_Die function{};
  Dwarf_Addr bias = 0;
  if (Dwarf_Die* const unit = unit_of(module, address, bias)) {
    if (Dwarf_Line* const source = dwarf_getsrc_die(unit, address - bias)) {
      int line = 0;
      dwarf_lineno(source, &line);
      set_place(frame, dwarf_linesrc(source, nullptr, nullptr), static_cast<Dwarf_Word>(line));
    }
    std::vector<Dwarf_Die> scopes;
    find_scopes(*unit, address - bias, scopes);
    for (std::size_t i = scopes.size(); i-- != 0;) {  // from the inside out
      Dwarf_Die& scope = scopes[i];
      int const tag = dwarf_tag(&scope);
      if (tag == DW_TAG_inlined_subroutine) {
        frame.function = name_of(scope);
        stack.push_back(std::move(frame));
        frame = {.address = address};
        set_call(frame, *unit, scope);
      } else if (tag == DW_TAG_subprogram) {
        function = scope;
      }
    }
  }
  // The symbol table comes second, because it is searched from end to end.
  if (function.addr != nullptr) {
    frame.function = linkage_name(function);
  }
  if (frame.function.empty()) {
    frame.function = demangled(dwfl_module_addrname(module, address));
  }
  if (frame.function.empty() && function.addr != nullptr) {
    frame.function = qualified_name(function);
  }
  stack.push_back(std::move(frame));
}

}  // namespace

std::vector<stack_frame> read_symbols(raw_stack const& stack) {
  static constinit std::mutex one_at_a_time;  // libdw is not for several threads
  std::scoped_lock const guard(one_at_a_time);
  Dwfl* const all = look_around();
  std::vector<stack_frame> result;
  for (std::size_t i = 0; i != stack.size; ++i) {
    read_call(all, stack.calls[i], result);
  }
  return result;
}

}  // namespace errgroup::inline v1::detail
