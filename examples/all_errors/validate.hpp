#ifndef ERRGROUP_EXAMPLES_ALL_ERRORS_VALIDATE_HPP
#define ERRGROUP_EXAMPLES_ALL_ERRORS_VALIDATE_HPP

#include <stdexcept>     // runtime_error
#include <string>        // string
#include <string_view>   // string_view
#include <system_error>  // error_code

namespace all_errors {

/// What is wrong with the contents of a file, and where: "not UTF-8 (line 3, column 7)".
class invalid : public std::runtime_error {
 public:
  invalid(std::string const& what, std::string const& where)
      : std::runtime_error(what + " (" + where + ")") {}
};

class input;

/// Reads a file to its end, or throws `invalid`; `std::system_error` if it cannot be read.
using validator = void (*)(input& file);

/// What a file of this name has to be: JSON, gzip or UTF-8 text, by its suffix. Null if nobody
/// knows.
[[nodiscard]] validator validator_for(std::string_view name) noexcept;

/// Opens the file and has it validated, a block at a time. Throws what `valid` throws.
[[nodiscard]] std::error_code validate(std::string const& path, validator valid);

}  // namespace all_errors

#endif  // ERRGROUP_EXAMPLES_ALL_ERRORS_VALIDATE_HPP
