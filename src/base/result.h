// Errors as values: Result<T> and the chain of what was being done.
//
// Three lanes never mix (docs/ARCHITECTURE.md): Result for what a user or host did wrong, cpu::Fault for the
// guest's own architectural events, CHECK for our bugs.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rhea {

enum class ErrorKind { Invalid, NotFound, Permission, Unsupported, Io, NoSpace, OutOfRange, Busy, Cancelled };

class Error {
 public:
  Error(ErrorKind kind, std::string text) : kind_(kind), text_(std::move(text)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& text() const { return text_; }
  // "outer: inner: text", the form that main prints on one line.
  std::string message() const;
  // Adds what was being done; the last one added is printed first.
  Error in(std::string_view context) &&;

 private:
  ErrorKind kind_;
  std::string text_;
  std::vector<std::string> context_;
};

template <class T = void>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorKind kind, std::string text) {
  return std::unexpected<Error>(Error(kind, std::move(text)));
}
// An error whose text is the host's word for an errno value.
std::unexpected<Error> fail_errno(int error_number, std::string_view context);

}  // namespace rhea

// TRY(expr): the value of a Result, or return its error from the enclosing function.
// TRY_IN(expr, context): the same with a line of context added.
#define RHEA_TRY_IMPL(result, ...)                                                    \
  __extension__({                                                                     \
    auto&& rhea_try_result = (__VA_ARGS__);                                           \
    if (!rhea_try_result) return std::unexpected(std::move(rhea_try_result).error()); \
    *std::move(rhea_try_result);                                                      \
  })
#define TRY(...) RHEA_TRY_IMPL(_, __VA_ARGS__)
#define TRY_IN(expr, context)                                                                     \
  __extension__({                                                                                 \
    auto&& rhea_try_result = (expr);                                                              \
    if (!rhea_try_result) return std::unexpected(std::move(rhea_try_result).error().in(context)); \
    *std::move(rhea_try_result);                                                                  \
  })
