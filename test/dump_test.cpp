// SPDX-License-Identifier: Apache-2.0

// Promise O6: what `dump` shows.

#include "support/gate.hpp"
#include "support/ways.hpp"
#include <errgroup/dump.hpp>
#include <errgroup/group.hpp>
#include <errgroup/observer.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>           // atomic
#include <iomanip>          // setbase, setw
#include <optional>         // optional
#include <source_location>  // source_location
#include <sstream>          // ostringstream
#include <string>           // string
#include <thread>           // thread

namespace {

using errgroup::dump_format;
using errgroup::group;
using support::gate;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// Makes groups visible while it lives.
class visible {
 public:
  visible() : before_(errgroup::observe(&nothing_)) {}
  visible(visible const&) = delete;
  visible& operator=(visible const&) = delete;
  ~visible() { errgroup::observe(before_); }

 private:
  static inline errgroup::observer nothing_;
  errgroup::observer* before_;
};

std::string dumped(dump_format format = dump_format::text) {
  std::ostringstream out;
  errgroup::dump(out, format);
  return out.str();
}

/// The line of `text` that has `word`.
std::string line_with(std::string const& text, std::string const& word) {
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.find(word) != std::string::npos) {
      return line;
    }
  }
  return "no line with " + word;
}

TEST(Dump, O6_says_so_if_there_is_no_observed_group) {
  group const g({.name = "hidden"});
  EXPECT_EQ(dumped(), "no observed group\n");
}

TEST(Dump, O6_shows_a_group_with_name_limit_counts_and_place) {
  visible const all;
  auto const here = std::source_location::current();
  group const g({.limit = 3, .name = "import"});
  std::string const line = line_with(dumped(), "import");
  EXPECT_THAT(line, StartsWith("import  0 of 3 running, 0 waiting, 0 failed"));
  EXPECT_THAT(line,
              HasSubstr(std::string("made at dump_test.cpp:") + std::to_string(here.line() + 1)));
  group const other;
  EXPECT_THAT(dumped(), ContainsRegex("group [0-9]+ +0 running, 0 waiting, 0 failed +no limit"));
}

TEST(Dump, O6_shows_a_group_no_longer_when_it_is_destroyed) {
  visible const all;
  std::optional<group> g(std::in_place, errgroup::options{.name = "gone"});
  EXPECT_THAT(dumped(), HasSubstr("gone"));
  g.reset();
  EXPECT_EQ(dumped(), "no observed group\n");
}

TEST(Dump, O6_shows_running_tasks_and_what_they_wait_for) {
  visible const all;
  group import({.limit = 1, .name = "import"});
  gate inside("the inner task to run");
  gate seen("the dump to be written");
  std::thread host([&] {
    EXPECT_FALSE(import.run_and_wait("cities", [&] {
      group parse({.name = "parse"});
      EXPECT_FALSE(parse.run_and_wait("row", [&] {
        inside.open();
        seen.wait();
      }));
    }));
  });
  inside.wait();
  std::string const text = dumped();
  std::string const json = dumped(dump_format::json);
  seen.open();
  host.join();
  EXPECT_THAT(text, ContainsRegex("^import +1 of 1 running"));
  EXPECT_THAT(
      line_with(text, "task 0 \"cities\""),
      ContainsRegex("^  task 0 \"cities\" +[0-9]+\\.[0-9] s, thread [0-9]+ .*, waits for the "
                    "group \"parse\" .*run at dump_test.cpp:[0-9]+"));
  EXPECT_THAT(line_with(text, "parse  "), ContainsRegex("^    parse +1 running"));
  EXPECT_THAT(line_with(text, "\"row\""), StartsWith("      task 0 \"row\""));
  EXPECT_THAT(line_with(text, "\"row\""), Not(HasSubstr("waits")));
  EXPECT_THAT(json, ContainsRegex("\"name\":\"cities\".*\"waits_for\":[{]\"group\":[0-9]+,"
                                  "\"kind\":\"end\"[}]"));
  EXPECT_THAT(json, ContainsRegex("\"name\":\"parse\",\"parent\":[0-9]+,\"parent_task\":0"));
}

TEST(Dump, O6_shows_a_thread_that_waits_outside_of_any_task) {
  visible const all;
  support::with_workers(1, [] {
    group g({.name = "slow"});
    gate begun("the task to begin");
    gate go("the dump to be written");
    g.run([&] {
      begun.open();
      go.wait();
    });
    begun.wait();
    std::thread host([&] { EXPECT_FALSE(g.wait()); });
    support::await(
        [] { return dumped().find("waits for the group \"slow\"") != std::string::npos; },
        "the waiting thread to be shown");
    EXPECT_THAT(line_with(dumped(), "waits for"), ContainsRegex("^thread [0-9]+"));
    go.open();
    host.join();
    EXPECT_THAT(dumped(), Not(HasSubstr("waits for")));
  });
}

TEST(Dump, O6_a_task_that_has_ended_is_not_shown) {
  visible const all;
  group g({.name = "g"});
  EXPECT_FALSE(g.run_and_wait("over", [] {}));
  EXPECT_THAT(dumped(), Not(HasSubstr("over")));
}

TEST(Dump, O6_a_long_name_is_cut_between_characters) {
  visible const all;
  group g;
  std::string name(46, 'x');
  name += "ä and more";  // whose second byte is the 48th
  std::string text;
  EXPECT_FALSE(g.run_and_wait(name, [&] { text = dumped(); }));
  EXPECT_THAT(text, HasSubstr(std::string("\"").append(46, 'x').append("\"")));
}

TEST(Dump, O6_a_name_may_be_any_bytes) {
  visible const all;
  group g;
  std::string text;
  EXPECT_FALSE(g.run_and_wait(std::string(60, '\x80'), [&] { text = dumped(); }));
  EXPECT_THAT(text, HasSubstr("task 0"));
  EXPECT_FALSE(g.run_and_wait("two\nlines", [&] { text = dumped(); }));
  EXPECT_THAT(text, HasSubstr("\"two?lines\""));
}

TEST(Dump, O6_json_escapes_names_and_does_not_follow_the_stream_or_the_locale) {
  visible const all;
  group g({.limit = 17, .name = "a \"quoted\"\n\\name"});
  std::ostringstream out;
  out << std::hex << std::setw(20);
  errgroup::dump(out, dump_format::json);
  EXPECT_THAT(out.str(), HasSubstr(R"("name":"a \"quoted\"\u000a\\name")"));
  EXPECT_THAT(out.str(), HasSubstr("\"limit\":17"));
}

TEST(Dump, O6_may_be_written_while_groups_come_and_go) {
  visible const all;
  support::with_workers(2, [] {
    std::atomic<bool> done{false};
    std::thread writer([&] {
      while (!done) {
        EXPECT_THAT(dumped(), Not(HasSubstr("no such")));
        (void)dumped(dump_format::json);
      }
    });
    for (int i = 0; i != 200; ++i) {
      group g({.limit = i % 3 + 1, .name = "short-lived"});
      for (int k = 0; k != 10; ++k) {
        g.run("task with a long name that takes memory", [] {
          group inner;
          EXPECT_FALSE(inner.run_and_wait([] {}));
        });
      }
      EXPECT_FALSE(g.wait());
    }
    done = true;
    writer.join();
  });
}

}  // namespace
