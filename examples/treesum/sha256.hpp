#ifndef ERRGROUP_EXAMPLES_TREESUM_SHA256_HPP
#define ERRGROUP_EXAMPLES_TREESUM_SHA256_HPP

#include <openssl/evp.h>  // EVP_MD_CTX

#include <array>    // array
#include <cstddef>  // byte
#include <memory>   // unique_ptr
#include <span>     // span

namespace treesum {

/// A SHA-256 sum.
using digest = std::array<unsigned char, 32>;

/// SHA-256 by OpenSSL's EVP: `start`, then `update` as often as there is data, then `finish`.
///
/// One object does any number of sums, one after the other: making it is the expensive part.
/// Throws `std::runtime_error` where OpenSSL says no.
class sha256 {
 public:
  sha256();

  /// Begins a new sum; what was given to an unfinished one is forgotten.
  void start();
  void update(std::span<std::byte const> data);
  [[nodiscard]] digest finish();

 private:
  struct free_context {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, free_context> context_;
};

}  // namespace treesum

#endif  // ERRGROUP_EXAMPLES_TREESUM_SHA256_HPP
