// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_DETAIL_CONFIG_HPP
#define ERRGROUP_DETAIL_CONFIG_HPP

// The choices that the library and all code that uses the library have to make alike. This file
// has the defaults. A build with other choices installs a copy of this file with these choices.

// USDT probes (-DERRGROUP_SDT=ON): places that gdb, bpftrace, perf and SystemTap can stop at or
// count, while they cost one instruction that does nothing. 0: there are none.
//
//     group_begin(group, name, limit)          limit -1: none
//     group_end(group)
//     first_error(group, value, category)      the error's code: a number, and a category's name
//     cancelled(group)
//     wait_begin(group, kind)                  kind: `wait_kind`, as a number
//     wait_end(group, kind)
//     task_begin(group, index, name)           on the thread that runs the task
//     task_end(group, index)                   the callable has returned
//
// `group` is the address of the `errgroup::group`. A task or group without a name has an empty
// name. For a task without an index, `index` is the greatest number. A task that is skipped has no
// probes.
#define ERRGROUP_SDT 0

#if ERRGROUP_SDT
#if !__has_include(<sys/sdt.h>)
#error \
    "this errgroup was built with ERRGROUP_SDT=ON, and <sys/sdt.h> is missing: install it (Debian: systemtap-sdt-dev), or build errgroup without the option"
#endif
#include <sys/sdt.h>  // STAP_PROBE1, STAP_PROBE2, STAP_PROBE3
// A probe of the provider `errgroup`, with one to three arguments. They are evaluated in each call.
// (STAP_PROBEV needs a macro that has to be defined before the first include of <sys/sdt.h>.)
#define ERRGROUP_FOURTH(first, second, third, fourth, ...) fourth
#define ERRGROUP_PROBE(name, ...)                                              \
  ERRGROUP_FOURTH(__VA_ARGS__, STAP_PROBE3, STAP_PROBE2, STAP_PROBE1, nothing) \
  (errgroup, name, __VA_ARGS__)
#else
#define ERRGROUP_PROBE(name, ...) static_cast<void>(0)
#endif

#endif  // ERRGROUP_DETAIL_CONFIG_HPP
