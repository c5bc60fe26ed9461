#include "pipeline.hpp"

namespace treesum {
namespace {

// How far the walk runs ahead of the work. When so many files wait, the thread that walks works
// too. It may then be busy with a large file for a while; this is what the others have meanwhile.
constexpr std::size_t waiting_files = 16 * 1024;

// How far results run ahead of the oldest file that is not done.
constexpr std::size_t waiting_results = 4 * waiting_files;

}  // namespace

pipeline::pipeline(settings const& how, interrupt const& stop, progress& done)
    : stop_(stop),
      progress_(done),
      keep_going_(how.keep_going),
      lines_(stop),
      output_(waiting_results, lines_, done),
      hashers_([&done] { return file_hasher(done); }),
      group_(
          {.limit = how.jobs,
           .queue = waiting_files,
           .policy = how.keep_going ? errgroup::on_error::keep_going : errgroup::on_error::cancel,
           .stop = stop.token()}) {}

void pipeline::add_problem(path_error problem) {
  add([problem = std::move(problem)](
          file_hasher&, std::stop_token const&) -> std::optional<std::string> { throw problem; });
}

std::uint64_t pipeline::make_room() {
  std::uint64_t const place = added_++;
  if (!output_.has_room_for(place)) {
    // One file takes longer than some 60,000 after it. Waiting here is working, too; and a group
    // can go on after a wait. Should it have failed, finish() will hear of it again.
    (void)group_.wait();
  }
  return place;
}

int pipeline::finish() {
  errgroup::error const err = group_.wait();
  output_.flush();
  if (stop_.signal() != 0) {
    return 128 + stop_.signal();
  }
  if (lines_.failure()) {
    progress_.say(path_error("standard output", lines_.failure()).what());
    return 1;
  }
  if (err && !keep_going_) {  // else it was told when it happened
    progress_.say(err.what());
  }
  return err ? 1 : 0;
}

}  // namespace treesum
