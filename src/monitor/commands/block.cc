// Drives: what is in them, what they did, other media.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "base/failf.h"
#include "base/sizes.h"
#include "block/drive/drives.h"
#include "block/drive/open_medium.h"
#include "block/driver.h"
#include "block/protocols/protocol.h"
#include "monitor/monitor.h"
#include "monitor/vnc_events.h"

namespace rhea::monitor {

namespace {

using block::Drive;
using block::DriveCounters;
using block::ImageNode;

const char* io_status(const Drive& drive) {
  switch (drive.io_status()) {
    case block::IoStatus::Ok: return "ok";
    case block::IoStatus::Failed: return "failed";
    case block::IoStatus::NoSpace: return "nospace";
  }
  return "";
}

const char* detect_zeroes(const Drive& drive) {
  switch (drive.config().detect_zeroes) {
    case block::DetectZeroes::Off: return "off";
    case block::DetectZeroes::On: return "on";
    case block::DetectZeroes::Unmap: return "unmap";
  }
  return "";
}

unsigned backing_depth(const ImageNode& image) {
  unsigned depth = 0;
  for (const ImageNode* at = image.backing(); at != nullptr; at = at->backing()) ++depth;
  return depth;
}

// The temporary overlay of -snapshot says nowhere what it lies on.
std::string backing_name(const ImageNode& image) {
  const std::string named = image.backing_reference().file;
  return named.empty() ? image.backing()->filename() : named;
}

Json image_json(const Drive& drive, const ImageNode& image) {
  Json out = {{"virtual-size", drive.size()},
              {"filename", drive.medium().filename},
              {"format", image.driver().name()},
              {"dirty-flag", image.info().dirty}};
  if (auto used = image.info().actual_size) {
    out["actual-size"] = *used;
  } else if (const auto* file = dynamic_cast<const block::ProtocolNode*>(&image.file()); file != nullptr) {
    if (auto held = file->allocated_bytes()) out["actual-size"] = *held;
  }
  if (image.info().cluster_size) out["cluster-size"] = *image.info().cluster_size;
  if (!image.info().specific.empty()) {
    if (auto data = parse_json(block::to_compact_json(image.info().specific)))
      out["format-specific"] = {{"type", image.driver().name()}, {"data", std::move(*data)}};
  }
  if (image.backing() != nullptr) out["backing-filename"] = backing_name(image);
  return out;
}

Json inserted_json(const Drive& drive) {
  const ImageNode& image = *drive.medium().image;
  auto limits = drive.config().throttle ? drive.config().throttle->limits() : block::ThrottleLimits{};
  auto whole = [](const block::ThrottleLimit& limit) { return static_cast<int64_t>(limit.average); };
  Json out = {{"iops_rd", whole(limits.ops_read)},
              {"detect_zeroes", detect_zeroes(drive)},
              {"image", image_json(drive, image)},
              {"iops_wr", whole(limits.ops_write)},
              {"ro", drive.read_only()},
              {"node-name", drive.node_name()},
              {"backing_file_depth", backing_depth(image)},
              {"drv", image.driver().name()},
              {"iops", whole(limits.ops_total)},
              {"bps_wr", whole(limits.bytes_write)},
              {"write_threshold", 0},
              {"encrypted", image.info().encrypted},
              {"bps", whole(limits.bytes_total)},
              {"bps_rd", whole(limits.bytes_read)}};
  out["cache"] = {{"no-flush", false}, {"direct", false}, {"writeback", drive.write_cache()}};
  out["file"] = drive.medium().filename;
  if (image.backing() != nullptr) out["backing_file"] = backing_name(image);
  return out;
}

Json drive_json(const Drive& drive) {
  const Drive::Attachment& attachment = drive.attachment();
  bool removable = attachment.removable || !drive.attached();
  Json out = {{"io-status", io_status(drive)},
              {"device", drive.shown_id()},
              {"locked", drive.locked()},
              {"removable", removable}};
  if (drive.inserted()) out["inserted"] = inserted_json(drive);
  if (drive.attached()) out["qdev"] = attachment.device_id;
  if (attachment.has_tray) out["tray_open"] = drive.tray_open();
  out["type"] = "unknown";
  return out;
}

Result<Json> query_nodes(Call& call) {
  Json list = Json::array();
  if (call.vm.drives == nullptr) return list;
  for (const auto& drive : call.vm.drives->all()) {
    if (drive->inserted()) list.push_back(inserted_json(*drive));
  }
  return list;
}

Result<Json> query_block(Call& call) {
  Json list = Json::array();
  if (call.vm.drives == nullptr) return list;
  for (const auto& drive : call.vm.drives->all()) {
    if (call.flag("nodes")) {
      if (!drive->inserted() || (call.has("device") && call.text("device") != drive->node_name())) continue;
      list.push_back({{"io-status", "ok"}, {"device", ""}, {"removable", false}});
      list.back()["inserted"] = inserted_json(*drive);
    } else {
      if (drive->is_node() && !drive->attached()) continue;
      if (call.has("device") && call.text("device") != drive->id()) continue;
      list.push_back(drive_json(*drive));
    }
    if (call.flag("verbose")) list.back()["verbose"] = true;
  }
  return list;
}

// As `info` of the image tool has it.
std::string show_specific(const Json& data, unsigned indent) {
  std::string text;
  for (const auto& [key, value] : data.items()) {
    std::string name = key;
    std::ranges::replace(name, '-', ' ');
    text += std::string(indent, ' ') + name + ":";
    if (value.is_structured()) {
      text += "\n" + show_specific(value, indent + 4);
    } else {
      text += " " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n";
    }
  }
  return text;
}

std::string show_image(const Json& image) {
  std::string text = fmt::format("\nImages:\nimage: {}\nfile format: {}\nvirtual size: {}\n",
                                 image["filename"].get<std::string>(), image["format"].get<std::string>(),
                                 human_size_exact(image["virtual-size"].get<uint64_t>()));
  text += image.contains("actual-size")
              ? fmt::format("disk size: {}\n", human_size(image["actual-size"].get<uint64_t>()))
              : "disk size: unavailable\n";
  if (image.contains("cluster-size")) text += fmt::format("cluster_size: {}\n", image["cluster-size"].dump());
  if (image.contains("backing-filename"))
    text += fmt::format("backing file: {}\n", image["backing-filename"].get<std::string>());
  if (image.contains("format-specific"))
    text += "Format specific information:\n" + show_specific(image["format-specific"]["data"], 4);
  return text;
}

std::string show_drive(const Json& d) {
  std::string text = d["device"].get<std::string>();
  const bool is_node = text.empty();
  if (is_node && d.contains("inserted")) text = d["inserted"]["node-name"].get<std::string>();
  if (text.empty() && d.contains("qdev")) text = d["qdev"].get<std::string>();
  if (!d.contains("inserted")) {
    text += ": [not inserted]\n";
  } else {
    const Json& in = d["inserted"];
    std::string node = in["node-name"].get<std::string>();
    if (!node.empty() && !is_node) text += " (" + node + ")";
    text += fmt::format(": {} ({}{}{})\n", in["file"].get<std::string>(), in["drv"].get<std::string>(),
                        in["ro"].get<bool>() ? ", read-only" : "",
                        in["encrypted"].get<bool>() ? ", encrypted" : "");
  }
  if (d.contains("qdev")) text += fmt::format("    Attached to:      {}\n", d["qdev"].get<std::string>());
  if (d["io-status"] != "ok")
    text += fmt::format("    I/O status:       {}\n", d["io-status"].get<std::string>());
  if (d["removable"].get<bool>()) {
    bool open = d.contains("tray_open") && d["tray_open"].get<bool>();
    text += fmt::format("    Removable device: {}locked, tray {}\n", d["locked"].get<bool>() ? "" : "not ",
                        open ? "open" : "closed");
  }
  if (!d.contains("inserted")) return text;
  const Json& in = d["inserted"];
  text += fmt::format("    Cache mode:       {}\n",
                      in["cache"]["writeback"].get<bool>() ? "writeback" : "writethrough");
  if (in.contains("backing_file"))
    text += fmt::format("    Backing file:     {} (chain depth: {})\n", in["backing_file"].get<std::string>(),
                        in["backing_file_depth"].get<unsigned>());
  if (in["detect_zeroes"] != "off")
    text += fmt::format("    Detect zeroes:    {}\n", in["detect_zeroes"].get<std::string>());
  if (d.contains("verbose")) text += show_image(in["image"]);
  return text;
}

std::string show_block(const Json& list) {
  std::string text;
  for (const Json& drive : list) text += (text.empty() ? "" : "\n") + show_drive(drive);
  return text;
}

Result<Json> query_blockstats(Call& call) {
  Json list = Json::array();
  if (call.vm.drives == nullptr) return list;
  for (const auto& drive : call.vm.drives->all()) {
    if (drive->is_node() && !drive->attached()) continue;
    const block::DriveStats& s = drive->stats();
    Json stats = Json::object();
    auto add = [&stats](const std::string& name, const DriveCounters& counters) {
      stats[name + "_bytes"] = counters.bytes;
      stats[name + "_operations"] = counters.operations;
      stats[name + "_total_time_ns"] = counters.time_ns;
      stats[name + "_merged"] = 0;
      stats["failed_" + name + "_operations"] = counters.failed;
      stats["invalid_" + name + "_operations"] = counters.invalid;
    };
    add("rd", s.read);
    add("wr", s.write);
    add("flush", s.flush);
    add("unmap", s.discard);
    stats.erase("flush_bytes");
    stats.erase("flush_merged");
    stats["wr_highest_offset"] = s.highest_written;
    if (s.last_access_ns != 0)
      stats["idle_time_ns"] = call.vm.vm.loop().monotonic_clock().now_ns() - s.last_access_ns;
    stats["account_invalid"] = true;
    stats["account_failed"] = true;
    stats["timed_stats"] = Json::array();
    Json one = {
        {"device", drive->shown_id()}, {"stats", std::move(stats)}, {"node-name", drive->node_name()}};
    if (drive->attached()) one["qdev"] = drive->attachment().device_id;
    list.push_back(std::move(one));
  }
  return list;
}

std::string show_blockstats(const Json& list) {
  std::string text;
  for (const Json& drive : list) {
    text += drive["device"].get<std::string>() + ":";
    const Json& s = drive["stats"];
    for (const char* name :
         {"rd_bytes", "wr_bytes", "rd_operations", "wr_operations", "flush_operations", "wr_total_time_ns",
          "rd_total_time_ns", "flush_total_time_ns", "rd_merged", "wr_merged"})
      text += fmt::format(" {}={}", name, s[name].get<uint64_t>());
    text +=
        fmt::format(" idle_time_ns={}\n", s.contains("idle_time_ns") ? s["idle_time_ns"].get<int64_t>() : 0);
  }
  return text;
}

Result<Drive*> find_drive(Call& call) {
  std::string id = call.text("device");
  bool by_device = !call.has("device");
  if (by_device) id = call.text("id");
  if (call.has("device") == call.has("id"))
    return fail(ErrorKind::Invalid, "Need exactly one of 'device' and 'id'");
  if (call.vm.drives != nullptr) {
    for (const auto& drive : call.vm.drives->all()) {
      if (by_device ? drive->attached() && drive->attachment().device_id == id : drive->id() == id)
        return drive.get();
    }
  }
  return device_not_found(id);
}

Result<Json> eject(Call& call) {
  Drive* drive = TRY(find_drive(call));
  TRY(drive->eject(call.flag("force")));
  return Json();
}

Result<Json> change_vnc(Call& call) {
  if (call.text("filename") != "password" && call.text("filename") != "passwd")
    return fail(ErrorKind::Invalid, "Expected 'password' after 'vnc'");
  if (!call.has("format")) return fail(ErrorKind::Invalid, "terminal does not support password prompting");
  TRY(set_vnc_password(call.vm, {}, call.text("format")));
  return Json();
}

// Checks what can be checked before the image is opened.
Result<block::MediumRequest> wanted_medium(Call& call, const Drive& drive) {
  std::string format = call.text("format"), mode = call.text("read-only-mode");
  if (!format.empty() && block::find_format(format) == nullptr)
    return failf(ErrorKind::Invalid, "Unknown driver '{}'", format);
  if (!mode.empty() && mode != "retain" && mode != "read-only" && mode != "read-write")
    return failf(ErrorKind::Invalid, "Parameter 'read-only-mode' does not accept value '{}'", mode);
  if (!drive.attachment().removable && drive.attached())
    return failf(ErrorKind::Invalid, "Device '{}' is not removable", drive.id());
  const bool keep = drive.inserted() ? drive.read_only() : drive.attachment().has_tray;
  block::MediumRequest request;
  request.name.filename = call.text("filename");
  request.name.format = format;
  request.read_only = mode == "read-only" || (mode != "read-write" && keep);
  return request;
}

Result<> put_in(block::Drives& drives, const Drive* drive, Result<block::Medium>& medium,
                const std::string& filename, bool force) {
  if (!medium)
    return failf(medium.error().kind(), "Could not open '{}': {}", filename, medium.error().text());
  const auto at = std::ranges::find(drives.all(), drive, &std::unique_ptr<Drive>::get);
  if (at == drives.all().end()) return fail(ErrorKind::NotFound, "The drive has gone");
  if (medium->probed && !medium->read_only)
    std::fputs(block::raw_guess_warning(medium->filename).c_str(), stderr);
  return (*at)->change(std::move(*medium), force);
}

// HMP's `change`: a drive, or the VNC server's password. The host's disk may take a while.
void change(Call& call, Answer answer) {
  std::unique_lock hold(call.vm.vm.lock());
  if (call.hmp && call.text("device") == "vnc") return answer(change_vnc(call));
  auto drive = find_drive(call);
  if (!drive) return answer(std::unexpected(drive.error()));
  auto request = wanted_medium(call, **drive);
  if (!request) return answer(std::unexpected(request.error()));
  hold.unlock();
  auto medium = std::make_shared<Result<block::Medium>>();
  call.monitor.in_background(
      [medium, request = *request] { *medium = block::open_medium(request); },
      [&drives = *call.vm.drives, wanted = *drive, medium, name = request->name.filename,
       force = call.flag("force"), answer = std::move(answer)] {
        auto done = put_in(drives, wanted, *medium, name, force);
        answer(done ? Result<Json>(Json()) : std::unexpected(std::move(done).error()));
      });
}

Result<Drive*> drive_or_node(Call& call) {
  const std::string id = call.text("device"), node = call.text("node-name");
  if (call.vm.drives != nullptr) {
    for (const auto& drive : call.vm.drives->all()) {
      if (drive->abandoned()) continue;
      if (!node.empty() ? drive->node_name() == node : !drive->is_node() && drive->id() == id)
        return drive.get();
    }
  }
  return failf(ErrorKind::Invalid, "Cannot find device='{}' nor node-name='{}'", id, node);
}

void resize(Call& call, Answer answer) {
  const std::scoped_lock hold(call.vm.vm.lock());
  auto drive = drive_or_node(call);
  if (!drive) return answer(std::unexpected(drive.error()));
  if (call.number("size") < 0) return answer(fail(ErrorKind::Invalid, "Parameter 'size' expects a >0 size"));
  (*drive)->resize(static_cast<uint64_t>(call.number("size")), [answer = std::move(answer)](Result<> done) {
    answer(done ? Result<Json>(Json()) : std::unexpected(std::move(done).error()));
  });
}

// People are told "OK" of a drive and what went wrong as plain text.
void run_in_background(Call& call, Result<SlowWork> slow, const char* ok, bool as_text, Answer answer) {
  const auto failed = [as_text](const Error& error) {
    return as_text ? Result<Json>(Json(error.message() + "\n")) : std::unexpected(error);
  };
  if (!slow) return answer(failed(slow.error()));
  call.monitor.in_background(slow->work, [then = slow->then, ok, failed, answer = std::move(answer)] {
    auto done = then();
    answer(done ? Result<Json>(*ok != '\0' ? Json(ok) : Json()) : failed(done.error()));
  });
}

void drive_add(Call& call, Answer answer) {
  const std::scoped_lock hold(call.vm.vm.lock());
  const bool node = call.flag("node");
  run_in_background(call, call.vm.drive_add(call.text("opts"), node), node ? "" : "OK\n", true,
                    std::move(answer));
}

void blockdev_add(Call& call, Answer answer) {
  const std::scoped_lock hold(call.vm.vm.lock());
  auto values = config::split_options(write_json(call.arguments), "");
  if (!values) return answer(std::unexpected(values.error()));
  run_in_background(call, call.vm.blockdev_add(std::move(*values)), "", false, std::move(answer));
}

void drive_del(Call& call, Answer answer) {
  const std::scoped_lock hold(call.vm.vm.lock());
  run_in_background(call, call.vm.drive_del(call.text("id")), "", true, std::move(answer));
}

void blockdev_del(Call& call, Answer answer) {
  const std::scoped_lock hold(call.vm.vm.lock());
  run_in_background(call, call.vm.blockdev_del(call.text("node-name")), "", false, std::move(answer));
}

// Answered when the last of the drives is done; the machine goes on meanwhile.
void commit(Call& call, Answer answer) {
  struct Job {
    Answer answer;
    std::string text;
    size_t left = 1;  // one more until all are begun
    void ended() {
      if (--left == 0) answer(Json(std::move(text)));
    }
  };
  auto job = std::make_shared<Job>(Job{.answer = std::move(answer), .text = {}});
  const std::string id = call.text("device");
  bool found = id == "all";
  std::scoped_lock hold(call.vm.vm.lock());
  for (size_t i = 0; call.vm.drives != nullptr && i < call.vm.drives->all().size(); ++i) {
    Drive& drive = *call.vm.drives->all()[i];
    bool wanted = id == "all" ? drive.inserted() && drive.medium().temporary : drive.id() == id;
    if (!wanted) continue;
    found = true;
    job->left++;
    drive.commit([job, name = drive.id()](const Result<>& done) {
      if (!done) job->text += fmt::format("'commit' error for '{}': {}\n", name, done.error().message());
      job->ended();
    });
  }
  if (!found) job->text = fmt::format("Device '{}' not found\n", id);
  job->ended();
}

}  // namespace

std::span<const Command> block_commands() {
  static const std::vector<Command> rows = {
      {"query-block", nullptr, "", "", {}, query_block},
      {"query-named-block-nodes", nullptr, "", "", {{"flat", Kind::Boolean, true}}, query_nodes},
      {nullptr,
       "info block",
       "[-n] [-v] [device]",
       "show info of one block device or all block devices (-n: show named nodes; -v: show details)",
       {{"nodes", Kind::Flag, true, 'n', Only::Hmp},
        {"verbose", Kind::Flag, true, 'v', Only::Hmp},
        {"device", Kind::Block, true, 0, Only::Hmp}},
       query_block,
       show_block},
      {"query-blockstats",
       "info blockstats",
       "",
       "show block device statistics",
       {{"query-nodes", Kind::Boolean, true, 0, Only::Qmp}},
       query_blockstats,
       show_blockstats},
      {"eject",
       "eject",
       "[-f] device",
       "eject a removable medium (use -f to force it)",
       {{"force", Kind::Flag, true, 'f'},
        {"device", Kind::Block, false, 0, Only::Hmp},
        {"device", Kind::String, true, 0, Only::Qmp},
        {"id", Kind::String, true, 0, Only::Qmp}},
       eject},
      {nullptr,
       "change",
       "device [-f] filename [format [read-only-mode]]",
       "change a removable medium, optional format, use -f to force the operation",
       {{"force", Kind::Flag, true, 'f'},
        {"device", Kind::Block},
        {"filename", Kind::Filename},
        {"format", Kind::String, true},
        {"read-only-mode", Kind::String, true}},
       nullptr,
       nullptr,
       Access::Free,
       change},
      {"blockdev-change-medium",
       nullptr,
       "",
       "",
       {{"device", Kind::String, true},
        {"id", Kind::String, true},
        {"filename", Kind::String},
        {"format", Kind::String, true},
        {"force", Kind::Boolean, true},
        {"read-only-mode", Kind::String, true}},
       nullptr,
       nullptr,
       Access::Free,
       change},
      {"block_resize",
       "block_resize",
       "device size",
       "resize a block image",
       {{"device", Kind::Block, false, 0, Only::Hmp},
        {"device", Kind::String, true, 0, Only::Qmp},
        {"node-name", Kind::String, true, 0, Only::Qmp},
        {"size", Kind::Size}},
       nullptr,
       nullptr,
       Access::Free,
       resize},
      {nullptr,
       "drive_add",
       "[-n] [[<domain>:]<bus>:]<slot>\n[file=file][,if=type][,bus=n]\n[,unit=m][,media=d][,index=i]\n"
       "[,snapshot=on|off][,cache=on|off]\n[,readonly=on|off][,copy-on-read=on|off]",
       "add drive to PCI storage controller",
       {{"node", Kind::Flag, true, 'n'}, {"pci_addr", Kind::String}, {"opts", Kind::String}},
       nullptr,
       nullptr,
       Access::Free,
       drive_add},
      {nullptr,
       "drive_del",
       "device",
       "remove host block device",
       {{"id", Kind::Block}},
       nullptr,
       nullptr,
       Access::Free,
       drive_del},
      {"blockdev-add",
       nullptr,
       "",
       "",
       {{"driver", Kind::String}, {"node-name", Kind::String, true}, {"", Kind::Any, true}},
       nullptr,
       nullptr,
       Access::Free,
       blockdev_add},
      {"blockdev-del",
       nullptr,
       "",
       "",
       {{"node-name", Kind::String}},
       nullptr,
       nullptr,
       Access::Free,
       blockdev_del},
      {nullptr,
       "commit",
       "device|all",
       "commit changes to the disk images (if -snapshot is used) or backing files",
       {{"device", Kind::Block}},
       nullptr,
       nullptr,
       Access::Free,
       commit},
  };
  return rows;
}

}  // namespace rhea::monitor
