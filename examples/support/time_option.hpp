#ifndef ERRGROUP_EXAMPLES_SUPPORT_TIME_OPTION_HPP
#define ERRGROUP_EXAMPLES_SUPPORT_TIME_OPTION_HPP

#include <CLI/CLI.hpp>

#include <chrono>   // nanoseconds
#include <cstdint>  // int64_t
#include <map>      // map
#include <string>   // string

/// Adds an option whose value is a time from 1 ns: 50ms, 2s, 1h. `Time` is
/// `std::chrono::nanoseconds` or an optional of it.
template <class Time>
CLI::Option* add_time_option(CLI::App& app, std::string const& names, Time& time,
                             std::string const& description) {
  static std::map<std::string, std::int64_t> const units = {
      {"ns", 1},
      {"us", 1'000},
      {"ms", 1'000'000},
      {"s", 1'000'000'000},
      {"min", 60'000'000'000},
      {"h", 3'600'000'000'000},
  };
  auto const set = [&time](std::int64_t const& ns) { time = std::chrono::nanoseconds(ns); };
  CLI::Validator const to_ns = CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::UNIT_REQUIRED);
  auto const is_positive = [](std::string const& ns) {
    return ns == "0" || ns.front() == '-' ? "Not a time from 1 ns" : "";
  };
  return app.add_option_function<std::int64_t>(names, set, description)
      ->type_name("TIME")
      ->transform(to_ns.description(""))
      ->check(is_positive);
}

#endif  // ERRGROUP_EXAMPLES_SUPPORT_TIME_OPTION_HPP
