// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_ERRGROUP_HPP
#define ERRGROUP_ERRGROUP_HPP

/// Everything at once.

#include <errgroup/admission.hpp>
#include <errgroup/all.hpp>
#include <errgroup/any.hpp>
#include <errgroup/clock.hpp>
#include <errgroup/counts.hpp>
#include <errgroup/dump.hpp>
#include <errgroup/error.hpp>
#include <errgroup/exception_group.hpp>
#include <errgroup/extend.hpp>
#include <errgroup/failure_callback.hpp>
#include <errgroup/for_each.hpp>
#include <errgroup/fwd.hpp>
#include <errgroup/group.hpp>
#include <errgroup/join.hpp>
#include <errgroup/limiter.hpp>
#include <errgroup/lost_error.hpp>
#include <errgroup/named_by.hpp>
#include <errgroup/observer.hpp>
#include <errgroup/options.hpp>
#include <errgroup/pipeline.hpp>
#include <errgroup/pipeline_stats.hpp>
#include <errgroup/progress.hpp>
#include <errgroup/reduce.hpp>
#include <errgroup/result.hpp>
#include <errgroup/retry.hpp>
#include <errgroup/scope.hpp>
#include <errgroup/spawn.hpp>
#include <errgroup/stack.hpp>
#include <errgroup/stage.hpp>
#include <errgroup/stream.hpp>
#include <errgroup/take.hpp>
#include <errgroup/task.hpp>
#include <errgroup/task_options.hpp>
#include <errgroup/transform.hpp>
#include <errgroup/version.hpp>
#include <errgroup/waterfall.hpp>

#endif  // ERRGROUP_ERRGROUP_HPP
