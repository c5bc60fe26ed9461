#ifndef ERRGROUP_EXAMPLES_SUPPORT_PATHS_AMONG_HPP
#define ERRGROUP_EXAMPLES_SUPPORT_PATHS_AMONG_HPP

#include <CLI/CLI.hpp>

#include <string>  // string
#include <vector>  // vector

/// The paths among the words that CLI11 did not know, in their order.
///
/// CLI11 can gather paths itself, but takes `[a,b]` for a list of two, and `{}` for an empty list.
/// To a program that takes any file, these are names like others.
inline std::vector<std::string> paths_among(std::vector<std::string> const& rest) {
  std::vector<std::string> paths;
  bool options_are_over = false;
  for (std::string const& word : rest) {
    if (options_are_over || word == "-" || !word.starts_with('-')) {
      paths.push_back(word);
    } else if (word == "--") {
      options_are_over = true;
    } else {
      throw CLI::ExtrasError({word});
    }
  }
  return paths;
}

#endif  // ERRGROUP_EXAMPLES_SUPPORT_PATHS_AMONG_HPP
