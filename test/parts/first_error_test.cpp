// SPDX-License-Identifier: Apache-2.0

// The part first_error in every order of its accesses.

#define ERRGROUP_EXPLORED "support/explorer.hpp"

#include "support/explorer.hpp"
#include <errgroup/detail/first_error.hpp>
#include <errgroup/error.hpp>

#include <gtest/gtest.h>

#include <memory>        // make_shared
#include <system_error>  // errc, error_code, make_error_code

namespace {

using errgroup::error;
using errgroup::detail::first_error;
using explored::check;
using explored::explore;
using explored::scenario;

std::error_code a() { return std::make_error_code(std::errc::io_error); }
std::error_code b() { return std::make_error_code(std::errc::no_space_on_device); }

TEST(FirstError, E1_one_of_two_offers_wins_and_a_reader_sees_that_or_nothing) {
  auto const found = explore([](scenario& s) {
    struct state {
      first_error first;
      bool won[2] = {false, false};
      error seen[2];
    };
    auto shared = std::make_shared<state>();
    for (int i : {0, 1}) {
      s.thread([shared, i] {
        shared->won[i] = shared->first.offer(i == 0 ? a() : b());
        check(shared->first.get() == (shared->won[i] == (i == 0) ? a() : b()),
              "a thread that has offered an error does not see the winner's");
      });
    }
    s.thread([shared] {
      shared->seen[0] = shared->first.get();
      shared->seen[1] = shared->first.get();
    });
    s.at_end([shared] {
      check(shared->won[0] != shared->won[1], "not exactly one offer has won");
      error const winner = shared->won[0] ? a() : b();
      check(shared->first.get() == winner, "the winner's error is not kept");
      check(!shared->seen[0] || shared->seen[0] == winner, "a reader has seen a loser's error");
      check(!shared->seen[0] || shared->seen[1] == shared->seen[0], "the error has changed");
    });
  });
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
  EXPECT_GT(found.runs, 100U);
}

TEST(FirstError, E1_the_error_is_there_when_what_follows_from_it_can_be_seen) {
  auto const found = explore(
      [](scenario& s) {
        struct state {
          first_error first;
          explored::atomic<bool> stopped{false};
        };
        auto shared = std::make_shared<state>();
        s.thread([shared] {
          shared->first.offer(a());
          shared->stopped.store(true, std::memory_order_release);
        });
        s.thread([shared] {
          // Fails because the group was stopped.
          if (shared->stopped.load(std::memory_order_acquire)) {
            check(!shared->first.offer(b()), "an echo has taken the place of the cause");
            check(shared->first.get() == a(), "the cause is not there");
          }
        });
      },
      {.delays = 2});
  EXPECT_TRUE(found) << found.what << ": " << found.schedule;
}

TEST(FirstError, Take_empties_it) {
  auto const found = explore([](scenario&) {
    first_error first;
    check(!first.take(), "there is an error from the beginning");
    check(first.offer(a()), "the first offer has lost");
    check(first.is_taken(), "an error that was offered is not there");
    check(first.take() == a(), "another error comes out than went in");
    check(!first.is_taken() && !first.get(), "an error is left");
    check(first.offer(b()), "the first offer after take has lost");
    check(first.get() == b(), "another error comes out than went in");
  });
  EXPECT_TRUE(found) << found.what;
}

}  // namespace
