// Groups over MPI ranks, beside MPI itself and beside groups of one rank.
//
//     mpirun -n RANKS mpi [--smoke] [--repetitions=N] [--out=FILE]
//
// All ranks are on one machine, and share its CPUs: each rank has CPUs / RANKS threads of oneTBB.
// The contenders of a case take turns in an order that differs from repetition to repetition. A
// time is that of the slowest rank. FILE gets all of them, in the format of Google Benchmark.
//
// - `idle_wait`: `wait` of a group without a task, and an MPI_Allreduce of 4 bytes.
// - `failure_5ms`, `failure_1ms`: from the end of a task that fails on the last rank, to the return
// of
//   the last `wait`. Each other rank has a task that waits for its cancellation. The watcher looks
//   every 5 ms (the default) or 1 ms. Beside it the bound: that pause, and 5 times a message to the
//   last rank and back and an MPI_Allreduce of 4 bytes.
// - `tasks`: empty tasks on each rank, in a group over ranks and in a local group.
// - `uneven`: elements of which the first quarter costs 20 times what the others cost, by
//   `mpi::for_each`, and by a fixed split. `ideal` is the cost of all elements, divided by the
//   ranks. An element sleeps: so more ranks than CPUs show what more machines would. `units` is the
//   cost of the elements that the busiest rank had: its ratio does not depend on how long a sleep
//   takes.

#include <errgroup/group.hpp>  // group
#include <errgroup/mpi.hpp>    // environment, for_each, group, set_poll, split

#include <mpi.h>
#include <oneapi/tbb/global_control.h>  // global_control
#include <oneapi/tbb/version.h>         // TBB_runtime_version
#include <stdlib.h>                     // getloadavg
#include <time.h>                       // clock_gettime

#include <algorithm>           // max, nth_element, shuffle
#include <atomic>              // atomic
#include <charconv>            // from_chars
#include <chrono>              // duration, microseconds, milliseconds, steady_clock
#include <condition_variable>  // condition_variable_any
#include <cstddef>             // size_t
#include <cstdio>              // fopen, fprintf, printf
#include <exception>           // exception
#include <functional>          // function
#include <map>                 // map
#include <mutex>               // mutex, unique_lock
#include <optional>            // optional
#include <random>              // mt19937, uniform_int_distribution
#include <ranges>              // iota
#include <stdexcept>           // runtime_error
#include <stop_token>          // stop_token
#include <string>              // string
#include <string_view>         // string_view
#include <system_error>        // errc, make_error_code
#include <thread>              // hardware_concurrency, sleep_for
#include <vector>              // vector

namespace {

using clock_type = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using nanoseconds = std::chrono::duration<double, std::nano>;

struct arguments {
  bool smoke = false;
  std::size_t repetitions = 5;
  std::string out;
};

int rank_of_world() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

int size_of_world() {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

void require(bool right, char const* what) {
  if (!right) throw std::runtime_error(std::string("wrong answer: ") + what);
}

/// The largest number of any rank. Collective.
double largest(double mine) {
  MPI_Allreduce(MPI_IN_PLACE, &mine, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return mine;
}

/// Processor time of this rank so far, in seconds.
double processor_time() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// How long `f()` takes on the slowest rank, in nanoseconds. Collective.
template <class F>
double timed(F const& f) {
  MPI_Barrier(MPI_COMM_WORLD);
  auto const begin = clock_type::now();
  f();
  return largest(nanoseconds(clock_type::now() - begin).count());
}

/// One time, for all ranks.
struct sample {
  std::string name;
  double ns = 0;
  std::size_t tasks = 1;
  std::optional<double> units = {};
  std::optional<double> cpu = {};  // seconds for each task
};

class measurements {
 public:
  explicit measurements(arguments const& args) : args_(args) {}

  /// `count`, or a hundredth of it if only the answers matter.
  [[nodiscard]] std::size_t sized(std::size_t count) const {
    return args_.smoke ? std::max<std::size_t>(1, count / 100) : count;
  }

  void add(std::string_view what, std::string_view contender, double ns, std::size_t tasks = 1,
           std::optional<double> units = {}, std::optional<double> cpu = {}) {
    all_.push_back({"mpi/" + std::string(what) + "_" + std::to_string(size_of_world()) + "/" +
                        std::string(contender),
                    ns, tasks, units, cpu});
  }

  /// The median of each contender's times, on the screen.
  void show() const {
    std::map<std::string, std::vector<double>> times;
    for (sample const& s : all_) times[s.name].push_back(s.ns / static_cast<double>(s.tasks));
    for (auto& [name, each] : times) {
      auto const middle = each.begin() + static_cast<std::ptrdiff_t>(each.size() / 2);
      std::nth_element(each.begin(), middle, each.end());
      std::printf("%-32s %14.1f ns\n", name.c_str(), *middle);
    }
  }

  void write() const {
    if (args_.out.empty()) return;
    std::FILE* const file = std::fopen(args_.out.c_str(), "w");
    require(file != nullptr, "the file for the result cannot be written");
    double load = 0;
    getloadavg(&load, 1);
    char version[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(version, &length);
    std::string const mpi(version, static_cast<std::size_t>(length));
    std::fprintf(file,
                 "{\"context\": {\"threads\": \"%zu\", \"onetbb\": \"%s\", \"compiler\": \"%s\",\n"
                 "\"build\": \"%s\", \"google_benchmark\": \"none\", \"mpi\": \"%s\",\n"
                 "\"load_avg\": [%.2f]},\n\"benchmarks\": [",
                 tbb::global_control::active_value(tbb::global_control::max_allowed_parallelism),
                 TBB_runtime_version(),
#ifdef __clang__
                 "clang " __clang_version__,
#else
                 "gcc " __VERSION__,
#endif
                 ERRGROUP_PERF_BUILD, mpi.substr(0, mpi.find_first_of(",\n\"")).c_str(), load);
    char const* separator = "";
    for (sample const& s : all_) {
      std::fprintf(
          file, "%s\n{\"name\": \"%s\", \"time_unit\": \"ns\", \"real_time\": %.1f, \"tasks\": %zu",
          separator, s.name.c_str(), s.ns, s.tasks);
      if (s.units) std::fprintf(file, ", \"units\": %.1f", *s.units);
      if (s.cpu) std::fprintf(file, ", \"cpu\": %.4g", *s.cpu);
      std::fprintf(file, "}");
      separator = ",";
    }
    std::fprintf(file, "]}\n");
    require(std::fclose(file) == 0, "the file for the result cannot be written");
  }

 private:
  arguments const& args_;
  std::vector<sample> all_;
};

double allreduce_time(std::size_t times) {
  return timed([&] {
    for (std::size_t i = 0; i != times; ++i) {
      int word = 1;
      MPI_Allreduce(MPI_IN_PLACE, &word, 1, MPI_INT, MPI_BOR, MPI_COMM_WORLD);
    }
  });
}

/// A message to the last rank and back.
double ping_pong_time(std::size_t times) {
  int const rank = rank_of_world();
  int const last = size_of_world() - 1;
  return timed([&] {
    int word = 0;
    for (std::size_t i = 0; i != times && last != 0; ++i) {
      if (rank == 0) {
        MPI_Send(&word, 1, MPI_INT, last, 0, MPI_COMM_WORLD);
        MPI_Recv(&word, 1, MPI_INT, last, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      } else if (rank == last) {
        MPI_Recv(&word, 1, MPI_INT, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Send(&word, 1, MPI_INT, 0, 0, MPI_COMM_WORLD);
      }
    }
  });
}

void measure_allreduce(measurements& to) {
  std::size_t const times = to.sized(2000);
  to.add("idle_wait", "allreduce", allreduce_time(times), times);
}

void measure_idle_wait(measurements& to) {
  std::size_t const times = to.sized(2000);
  errgroup::mpi::group g(MPI_COMM_WORLD);
  bool right = true;
  double const ns = timed([&] {
    for (std::size_t i = 0; i != times; ++i) right = !g.wait() && right;
  });
  require(right, "an idle group has failed");
  to.add("idle_wait", "errgroup", ns, times);
}

void measure_failure(measurements& to, std::string_view what, milliseconds pause,
                     microseconds phase) {
  std::size_t const times = to.sized(300);
  double const messages =
      (ping_pong_time(times) + allreduce_time(times)) / static_cast<double>(times);
  to.add(what, "bound", nanoseconds(pause).count() + 5 * messages);

  errgroup::mpi::set_poll(pause);
  int const culprit = size_of_world() - 1;
  clock_type::time_point failed{};
  clock_type::time_point joined{};
  {
    std::mutex lock;
    std::condition_variable_any never;
    errgroup::mpi::group g(MPI_COMM_WORLD);
    MPI_Barrier(MPI_COMM_WORLD);
    if (g.rank() == culprit) {
      g.run([&] {
        // The other ranks come to their tasks; the watchers may be anywhere in their pauses.
        std::this_thread::sleep_for(milliseconds(3) + phase);
        failed = clock_type::now();
        return std::make_error_code(std::errc::io_error);
      });
    } else {
      g.run([&](std::stop_token const& stop) {
        std::unique_lock held(lock);
        never.wait(held, stop, [] { return false; });
      });
    }
    auto const err = g.wait();
    joined = clock_type::now();
    require(err == std::errc::io_error && errgroup::mpi::rank_of(err) == culprit,
            "the error of a rank is not that of all ranks");
  }
  errgroup::mpi::set_poll(milliseconds(5));
  // One machine has one clock.
  double const end = largest(nanoseconds(joined.time_since_epoch()).count());
  double const begin = largest(nanoseconds(failed.time_since_epoch()).count());
  to.add(what, "errgroup", end - begin);
}

template <class Make>
void measure_tasks(measurements& to, char const* contender, Make const& make) {
  std::size_t const tasks = to.sized(300'000);
  std::atomic<std::size_t> ran{0};
  double const before = processor_time();
  double const ns = timed([&] {
    make([&](auto& g) {
      for (std::size_t i = 0; i != tasks; ++i) {
        g.run([&] { ran.fetch_add(1, std::memory_order_relaxed); });
      }
      require(!g.wait(), "a group has failed");
    });
  });
  require(ran == tasks, "not every task ran");
  double const used = largest(processor_time() - before);
  to.add("tasks", contender, ns, tasks, {}, used / static_cast<double>(tasks));
}

constexpr std::size_t elements = 400;
constexpr unsigned unit_of(std::size_t i) { return i < elements / 4 ? 20 : 1; }

/// `divide` calls its argument once for each element, on some rank.
template <class Divide>
void measure_uneven(measurements& to, bool smoke, char const* contender, Divide const& divide) {
  microseconds const unit(smoke ? 1 : 100);
  std::vector<int> calls(elements);
  double mine = 0;
  double const ns = timed([&] {
    auto const err = divide([&](std::size_t i) {
      std::this_thread::sleep_for(unit * unit_of(i));
      ++calls[i];
      mine += unit_of(i);
    });
    require(!err, "the elements have failed");
  });
  MPI_Allreduce(MPI_IN_PLACE, calls.data(), static_cast<int>(calls.size()), MPI_INT, MPI_SUM,
                MPI_COMM_WORLD);
  for (int const c : calls) require(c == 1, "an element was not called once");
  to.add("uneven", contender, ns, 1, largest(mine));
  if (contender == std::string_view("fixed")) {
    double all = 0;
    for (std::size_t i = 0; i != elements; ++i) all += unit_of(i);
    all /= size_of_world();
    to.add("uneven", "ideal", all * nanoseconds(unit).count(), 1, all);
  }
}

void measure(measurements& to, arguments const& args, std::size_t repetition) {
  std::mt19937 chance(static_cast<unsigned>(repetition));  // the same on all ranks
  auto const phase = [&](int most) {
    return microseconds(std::uniform_int_distribution<int>(0, most)(chance));
  };
  std::vector<std::vector<std::function<void()>>> cases{
      {[&] { measure_allreduce(to); }, [&] { measure_idle_wait(to); }},
      {[&] { measure_failure(to, "failure_5ms", milliseconds(5), phase(5000)); },
       [&] { measure_failure(to, "failure_1ms", milliseconds(1), phase(1000)); }},
      {[&] {
         measure_tasks(to, "errgroup", [](auto const& use) {
           errgroup::mpi::group g(MPI_COMM_WORLD);
           use(g);
         });
       },
       [&] {
         measure_tasks(to, "local", [](auto const& use) {
           errgroup::group g;
           use(g);
         });
       }},
      {[&] {
         measure_uneven(to, args.smoke, "errgroup", [](auto const& f) {
           return errgroup::mpi::for_each(MPI_COMM_WORLD, {.limit = 1}, elements, f);
         });
       },
       [&] {
         measure_uneven(to, args.smoke, "fixed", [](auto const& f) {
           errgroup::mpi::group g(MPI_COMM_WORLD, {.limit = 1});
           for (std::size_t const i :
                errgroup::mpi::split(std::views::iota(std::size_t{0}, elements), MPI_COMM_WORLD)) {
             g.run([&f, i] { f(i); });
           }
           return g.wait();
         });
       }}};
  for (auto& contenders : cases) {
    std::shuffle(contenders.begin(), contenders.end(), chance);
    for (auto const& one : contenders) one();
  }
}

bool parse(int argc, char** argv, arguments& args) {
  for (int i = 1; i < argc; ++i) {
    std::string_view const argument = argv[i];
    constexpr std::string_view repetitions = "--repetitions=";
    constexpr std::string_view out = "--out=";
    if (argument == "--smoke") {
      args.smoke = true;
      args.repetitions = 1;
    } else if (argument.starts_with(repetitions)) {
      char const* const end = argument.data() + argument.size();
      auto const found =
          std::from_chars(argument.data() + repetitions.size(), end, args.repetitions);
      if (found.ptr != end || args.repetitions == 0) return false;
    } else if (argument.starts_with(out)) {
      args.out = argument.substr(out.size());
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  arguments args;
  if (!parse(argc, argv, args)) {
    std::fprintf(stderr, "usage: mpirun -n RANKS mpi [--smoke] [--repetitions=N] [--out=FILE]\n");
    return 2;
  }
  errgroup::mpi::environment const mpi(argc, argv);
  std::size_t const share =
      std::thread::hardware_concurrency() / static_cast<unsigned>(size_of_world());
  tbb::global_control const threads(tbb::global_control::max_allowed_parallelism,
                                    std::max<std::size_t>(1, share));
  try {
    measurements all(args);
    arguments const small{.smoke = true, .repetitions = 1, .out = {}};
    measurements first(small);  // makes the channel, and starts the threads
    measure(first, small, 0);
    for (std::size_t i = 1; i <= args.repetitions; ++i) measure(all, args, i);
    if (rank_of_world() == 0) {
      all.show();
      all.write();
    }
  } catch (std::exception const& problem) {
    std::fprintf(stderr, "mpi: rank %d: %s\n", rank_of_world(), problem.what());
    return 1;
  }
  return 0;
}
