#include "sha256.hpp"

#include <new>        // bad_alloc
#include <stdexcept>  // runtime_error

namespace treesum {
namespace {

void require(int openssl_says) {
  if (openssl_says != 1) {
    throw std::runtime_error("OpenSSL could not compute a SHA-256 sum");
  }
}

struct free_algorithm {
  void operator()(EVP_MD* algorithm) const noexcept { EVP_MD_free(algorithm); }
};

/// The algorithm, looked up among OpenSSL's providers once: a look-up by name for each file would
/// cost more than hashing a small one.
EVP_MD const* algorithm() {
  static std::unique_ptr<EVP_MD, free_algorithm> const fetched(
      EVP_MD_fetch(nullptr, "SHA256", nullptr));
  if (fetched == nullptr) {
    throw std::runtime_error("this OpenSSL has no SHA-256");
  }
  return fetched.get();
}

}  // namespace

sha256::sha256() : context_(EVP_MD_CTX_new()) {
  if (context_ == nullptr) {
    throw std::bad_alloc();
  }
}

void sha256::start() { require(EVP_DigestInit_ex2(context_.get(), algorithm(), nullptr)); }

void sha256::update(std::span<std::byte const> data) {
  require(EVP_DigestUpdate(context_.get(), data.data(), data.size()));
}

digest sha256::finish() {
  digest sum;
  require(EVP_DigestFinal_ex(context_.get(), sum.data(), nullptr));
  return sum;
}

}  // namespace treesum
