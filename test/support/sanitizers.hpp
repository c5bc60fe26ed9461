// SPDX-License-Identifier: Apache-2.0
#ifndef ERRGROUP_TEST_SUPPORT_SANITIZERS_HPP
#define ERRGROUP_TEST_SUPPORT_SANITIZERS_HPP

// Which sanitizer this program is compiled with. GCC defines a macro for each, Clang 19 does not.

namespace support {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ERRGROUP_TEST_ADDRESS_SANITIZER 1
#endif
#if __has_feature(thread_sanitizer)
#define ERRGROUP_TEST_THREAD_SANITIZER 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(ERRGROUP_TEST_ADDRESS_SANITIZER)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__) || defined(ERRGROUP_TEST_THREAD_SANITIZER)
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif

}  // namespace support

#endif  // ERRGROUP_TEST_SUPPORT_SANITIZERS_HPP
