// SPDX-License-Identifier: Apache-2.0
#include <errgroup/exception_group.hpp>

namespace errgroup::inline v1 {

// The constructor, which makes a text, is in error_text.cpp: every program that runs tasks looks
// for this type among the exceptions of its tasks, and few programs make one.

exception_group::~exception_group() = default;

}  // namespace errgroup::inline v1
