#ifndef ERRGROUP_EXAMPLES_PGZ_WORK_HPP
#define ERRGROUP_EXAMPLES_PGZ_WORK_HPP

#include "../treesum/interrupt.hpp"
#include "arguments.hpp"

#include <string>  // string

namespace pgz {

/// Compresses, decompresses or tests one file, with standard output or the file beside it as the
/// output. Removes the input at the end, without `-k`.
///
/// Returns if a signal came, without output. Throws `problem` if anything else goes wrong; the
/// input, and an earlier output, are then as before. A `problem` with the status of a warning may
/// also be thrown when the output is there: for data behind the last member, or if the input could
/// not be removed.
void do_file(arguments const& args, treesum::interrupt const& interrupted, std::string const& path);

/// The same from standard input to standard output.
void do_standard_input(arguments const& args, treesum::interrupt const& interrupted);

}  // namespace pgz

#endif  // ERRGROUP_EXAMPLES_PGZ_WORK_HPP
