#include "block/value.h"

#include <fmt/core.h>

#include <algorithm>

namespace rhea::block {
namespace {

struct Layout {
  bool pretty;
  std::string line(unsigned depth) const {
    return pretty ? "\n" + std::string(depth * 4, ' ') : std::string();
  }
  std::string separator(unsigned depth) const { return pretty ? "," + line(depth) : ", "; }
};

void write_json(const Value& value, const Layout& layout, unsigned depth, std::string& out) {
  if (const bool* flag = value.as<bool>()) {
    out += *flag ? "true" : "false";
  } else if (const uint64_t* number = value.as<uint64_t>()) {
    out += std::to_string(*number);
  } else if (const double* real = value.as<double>()) {
    out += fmt::format("{}", *real);
  } else if (const std::string* text = value.as<std::string>()) {
    out += json_quote(*text);
  } else if (const Value::Dict* dict = value.as<Value::Dict>()) {
    out += "{";
    for (size_t i = 0; i < dict->size(); ++i) {
      out += i == 0 ? layout.line(depth + 1) : layout.separator(depth + 1);
      out += json_quote((*dict)[i].first) + ": ";
      write_json((*dict)[i].second, layout, depth + 1, out);
    }
    out += layout.line(depth) + "}";
  } else if (const Value::List* list = value.as<Value::List>()) {
    out += "[";
    for (size_t i = 0; i < list->size(); ++i) {
      out += i == 0 ? layout.line(depth + 1) : layout.separator(depth + 1);
      write_json((*list)[i], layout, depth + 1, out);
    }
    out += layout.line(depth) + "]";
  }
}

std::string scalar_text(const Value& value) {
  if (const std::string* text = value.as<std::string>()) return *text;
  if (const bool* flag = value.as<bool>()) return *flag ? "true" : "false";
  return to_compact_json(value);
}

void write_text(const std::string& key, const Value& value, unsigned indent, std::string& out) {
  const std::string margin(indent * 4, ' ');
  const Value::Dict* dict = value.as<Value::Dict>();
  const Value::List* list = value.as<Value::List>();
  if (dict == nullptr && list == nullptr) {
    out += fmt::format("{}{}: {}\n", margin, key, scalar_text(value));
    return;
  }
  out += fmt::format("{}{}:\n", margin, key);
  if (dict != nullptr) out += to_text(*dict, indent + 1);
  for (size_t i = 0; list != nullptr && i < list->size(); ++i) {
    write_text(fmt::format("[{}]", i), (*list)[i], indent + 1, out);
  }
}

}  // namespace

std::string to_json(const Value& value) {
  std::string out;
  write_json(value, {true}, 0, out);
  return out;
}

std::string to_compact_json(const Value& value) {
  std::string out;
  write_json(value, {false}, 0, out);
  return out;
}

std::string to_text(const Value::Dict& values, unsigned indent) {
  std::string out;
  for (const auto& [name, value] : values) {
    std::string key = name;
    std::ranges::replace(key, '-', ' ');
    write_text(key, value, indent, out);
  }
  return out;
}

std::string json_quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  return out + "\"";
}

}  // namespace rhea::block
