// docs/cookbook.md: A class with a group inside.

#include <errgroup/errgroup.hpp>

#include <cstddef>    // size_t
#include <iostream>   // cerr, cout
#include <map>        // map
#include <mutex>      // mutex, scoped_lock
#include <stdexcept>  // invalid_argument
#include <string>     // string
#include <utility>    // move

/// Counts the words of texts in the background, two texts at once.
class word_counter {
 public:
  /// Returns at once.
  void add(std::string name, std::string text) {
    group_.run(name, [this, name, text = std::move(text)] {
      if (text.empty()) {
        throw std::invalid_argument("the text is empty");
      }
      std::size_t words = 0;
      bool is_in_word = false;
      for (char const c : text) {
        words += c != ' ' && !is_in_word ? 1U : 0U;
        is_in_word = c != ' ';
      }
      std::scoped_lock const held(lock_);
      words_[name] = words;
    });
  }

  /// Waits for all texts. The first failure, or success.
  errgroup::error finish() { return group_.wait(); }

  /// Call it after `finish`.
  std::map<std::string, std::size_t> const& words() const { return words_; }

 private:
  std::mutex lock_;
  std::map<std::string, std::size_t> words_;
  errgroup::group group_{{.limit = 2, .name = "words"}};  // the last member: tasks use the others
};

int main() {
  {
    word_counter counter;
    counter.add("hamlet", "to be or not to be");
    if (auto err = counter.finish()) {
      std::cerr << err << '\n';
      return 1;
    }
    std::cout << counter.words().at("hamlet") << " words\n";
  }
  {
    word_counter counter;
    counter.add("nothing", "");
    if (auto err = counter.finish()) {
      std::cout << err << '\n';
    }
  }
  {
    word_counter counter;
    counter.add("hamlet", "to be or not to be");
  }  // without `finish`: the destructor cancels, and waits for tasks that run
  std::cout << "the end\n";
}
