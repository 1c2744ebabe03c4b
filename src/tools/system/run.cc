#include "tools/system/run.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include <cerrno>
#include <cstdlib>
#include <map>

#include "base/failf.h"
#include "base/log.h"
#include "base/log_prefix.h"
#include "base/sizes.h"
#include "config/schema.h"
#include "cpu/models/cpu_model.h"
#include "engine/accelerator.h"
#include "engine/dbt/options.h"
#include "machine/firmware/firmware_files.h"
#include "machine/pc/pc_board.h"
#include "machine/pc/tsc_frequency.h"
#include "machine/vm.h"
#include "monitor/gdb/server.h"
#include "tools/system/lines.h"
#include "tools/system/process.h"
#include "tools/system/rtc_base.h"
#include "tools/system/setup/globals.h"
#include "tools/system/setup/machine.h"
#include "tools/system/setup/memory.h"
#include "tools/system/setup/setup.h"
#include "tools/system/topology.h"
#include "tools/system/uuid.h"

namespace rhea::system {

namespace {

constexpr unsigned kMostVcpus = 64;
constexpr const char* kCompatibleVersion = "7.2.0";  // whose command lines and monitors these are
constexpr uint64_t kLargestKernel = uint64_t{2} << 30;
constexpr uint64_t kLargestItem = uint64_t{16} << 20;

// Small guests run little code; a desktop runs 20 million instructions' worth until it is at rest.
uint64_t default_cache(uint64_t ram_bytes) {
  return std::clamp<uint64_t>(ram_bytes / 4, 64 * kMiB, 512 * kMiB);
}

dbt::DbtOptions translator_options(const AccelOptions& a, const SystemOptions& options) {
  dbt::DbtOptions o;
  o.cache_bytes = a.tb_size ? *a.tb_size * kMiB : default_cache(options.memory.size);
  o.link = a.link.value_or(o.link);
  o.jump_cache = a.jump_cache.value_or(o.jump_cache);
  o.probe = a.probe.value_or(o.probe);
  o.hot = a.hot.value_or(o.hot);
  o.slots = a.slots.value_or(o.slots);
  o.flag_liveness = a.flag_liveness.value_or(o.flag_liveness);
  o.groups = a.groups.value_or(o.groups);
  o.lazy_flags = a.lazy_flags.value_or(o.lazy_flags);
  o.returns = a.returns.value_or(o.returns);
  o.far_links = a.far_links.value_or(o.far_links);
  o.superblocks = a.superblocks.value_or(o.superblocks);
  o.huge_code = a.huge_code.value_or(o.huge_code);
  o.quick_dispatch = a.quick_dispatch.value_or(o.quick_dispatch);
  o.inline_system = a.inline_system.value_or(o.inline_system);
  o.inline_strings = a.inline_strings.value_or(o.inline_strings);
  o.prefetch = a.prefetch.value_or(o.prefetch);
  o.predict = a.predict.value_or(o.predict);
  o.large_pages = a.large_pages.value_or(o.large_pages);
  o.single = a.single.value_or(o.single);
  if (a.max_insns) o.max_insns = static_cast<unsigned>(*a.max_insns);
  o.deterministic = a.deterministic.value_or(false);
  o.perf_map = options.perfmap;
  return o;
}

Result<> check_state_log(const AccelOptions& a) {
  bool details = a.state_log_from || a.state_log_to || a.state_log_every || a.state_log_detail;
  if (details && a.state_log.empty()) return fail(ErrorKind::Invalid, "state-log-… needs state-log=FILE");
  if (!a.state_log.empty() && !a.deterministic.value_or(false))
    return fail(ErrorKind::Invalid, "state-log needs deterministic=on");
  if (a.deterministic.value_or(false) && a.thread == Threading::Multi)
    return fail(ErrorKind::Invalid, "deterministic=on runs one vCPU at a time, which thread=multi denies");
  return {};
}

std::optional<machine::StateLogOptions> state_log_options(const AccelOptions& a) {
  if (a.state_log.empty()) return std::nullopt;
  machine::StateLogOptions o;
  o.path = a.state_log;
  o.from = a.state_log_from.value_or(o.from);
  o.to = a.state_log_to.value_or(o.to);
  o.every = a.state_log_every.value_or(o.every);
  o.flags = a.state_log_flags;
  o.detail = a.state_log_detail;
  return o;
}

Result<std::unique_ptr<engine::Accelerator>> open_accelerator(const AccelOptions& a,
                                                              const SystemOptions& options) {
  if (a.kind == EngineKind::Kvm) {
    if (options.perfmap)
      return fail(ErrorKind::Unsupported, "-perfmap is the translator's: KVM translates nothing");
    if (a.deterministic.value_or(false) || !a.state_log.empty())
      return fail(ErrorKind::Unsupported, "KVM counts no instructions: deterministic=on is the translator's");
    return engine::open_kvm();
  }
  TRY(check_state_log(a));
  return engine::open_dbt(translator_options(a, options));
}

struct Choice {
  std::unique_ptr<engine::Accelerator> accelerator;
  AccelOptions options;
  bool deterministic() const { return options.deterministic.value_or(false); }
};

// The first that works; with one choice its error is the user's.
Result<Choice> choose_accelerator(const SystemOptions& options) {
  std::vector<AccelOptions> choices = options.accelerators;
  if (choices.empty()) choices.emplace_back();
  for (size_t i = 0;; ++i) {
    auto opened = open_accelerator(choices[i], options);
    if (opened) {
      if (i != 0) log_warn("falling back to {}", (*opened)->name());
      return Choice{std::move(*opened), choices[i]};
    }
    if (i + 1 == choices.size()) return std::unexpected(std::move(opened).error().in("-accel"));
    log_warn("{}", opened.error().message());
  }
}

Result<std::unique_ptr<cpu::CpuModel>> choose_cpu(const SystemOptions& options, const cpu::Topology& topology,
                                                  const engine::Accelerator& accelerator) {
  cpu::ModelRequest request;
  if (options.cpu) request.text = *options.cpu;
  request.topology = topology;
  request.supported = accelerator.features();
  request.engine = accelerator.name();
  request.translator = accelerator.is_translator();
  std::string context = "-cpu " + request.text;
  auto model = TRY_IN(cpu::CpuModel::create(request), context);
  for (const std::string& warning : model->warnings()) log_warn("{}", warning);
  return model;
}

Result<> check_memory(const SystemOptions& options, const cpu::CpuModel& model) {
  uint64_t end = machine::RamLayout::of(options.memory.size, options.machine.machine().chipset).end();
  if (end <= uint64_t{1} << model.phys_bits()) return {};
  return failf(ErrorKind::OutOfRange,
               "-m {}: guest memory ends at {:#x}, beyond the {} address bits of the CPU model",
               human_size(options.memory.size), end, model.phys_bits());
}

// "FILE ARGUMENTS,FILE ARGUMENTS" for Multiboot; one file for the others. Commas in names are doubled.
Result<std::vector<machine::boot::Module>> load_modules(const std::string& words) {
  std::vector<machine::boot::Module> modules;
  for (size_t at = 0; at < words.size();) {
    std::string one;
    for (; at < words.size(); ++at) {
      if (words[at] != ',') {
        one += words[at];
      } else if (at + 1 < words.size() && words[at + 1] == ',') {
        one += words[at++];
      } else {
        break;
      }
    }
    ++at;
    std::string path = one.substr(0, one.find(' '));
    auto file = TRY_IN(FileBytes::open(path), "-initrd");
    if (file && file->size() > kLargestKernel)
      return fail(ErrorKind::Invalid, fmt::format("-initrd: {}: larger than {} bytes", path, kLargestKernel));
    std::vector<uint8_t> data;
    if (!file) data = TRY_IN(machine::read_whole_file(path, kLargestKernel), "-initrd");
    modules.push_back({std::move(data), one, std::move(file)});
  }
  return modules;
}

Result<std::optional<machine::boot::Plan>> plan_kernel(const SystemOptions& options) {
  if (options.kernel.empty()) return std::optional<machine::boot::Plan>();
  machine::boot::Request request;
  request.kernel = TRY_IN(machine::read_whole_file(options.kernel, kLargestKernel), "-kernel");
  request.kernel_file = TRY_IN(FileBytes::open(options.kernel), "-kernel");
  request.command_line = options.append;
  request.modules = TRY(load_modules(options.initrd));
  request.low_ram_end = machine::RamLayout::of(options.memory.size, options.machine.machine().chipset).low;
  return TRY_IN(machine::boot::plan_kernel(std::move(request)), "-kernel " + options.kernel);
}

Result<> add_firmware_items(const SystemOptions& options, machine::PcConfig& config) {
  for (const FwCfgOptions& item : options.fw_cfg) {
    std::vector<uint8_t> data;
    if (item.string) {
      data.assign(item.string->begin(), item.string->end());
    } else {
      data = TRY_IN(machine::read_whole_file(*item.file, kLargestItem), "-fw_cfg " + item.name);
    }
    config.firmware_items.push_back({item.name, std::move(data)});
  }
  return {};
}

Result<machine::PcConfig> configure(const SystemOptions& options, const SmpChoice& smp,
                                    const cpu::CpuModel& model, const engine::Accelerator& accelerator,
                                    Lines& lines) {
  machine::PcConfig config;
  config.ram_bytes = options.memory.size;
  config.topology = smp.topology;
  TRY(configure_machine(options, accelerator, config));
  config.kernel = TRY(plan_kernel(options));
  config.uuid = TRY_IN(parse_uuid(options.uuid), "-uuid");
  config.rtc_runs_with_vm = options.rtc.clock == RtcClock::Vm;
  config.rtc_slew = options.rtc.driftfix_slew;
  config.translated = accelerator.is_translator();
  config.rtc_base = TRY_IN(resolve_rtc_base(options.rtc.base, ::time(nullptr)), "-rtc");
  cpu::Core probe;
  model.attach(probe, 0);
  cpu::CpuidRegs leaf1 = cpu::query_cpuid(probe, 1, 0);
  config.cpuid_signature = leaf1.eax;
  config.cpuid_features = leaf1.edx;
  for (size_t i = 0; i < lines.serial().size(); ++i) config.serial[i] = lines.serial()[i];
  config.debugcon = lines.debugcon();
  TRY(add_firmware_items(options, config));
  return config;
}

machine::Backends make_backends(const SystemOptions& options, machine::Vm& vm, Lines& lines) {
  machine::Backends backends;
  backends.chardev = [&lines](const std::string& id) { return lines.all().take(id); };
  backends.firmware = [folders = machine::firmware_folders(options.folders)](const std::string& name) {
    return machine::load_firmware_file(name, folders);
  };
  backends.loop = &vm.loop();
  return backends;
}

// The families of back ends, in the order in which their default devices are plugged in.
class Setups {
 public:
  Result<> open(const SystemOptions& options, machine::PcConfig& config, monitor::Context& monitor,
                Lines& lines) {
    SetupContext context{options, monitor.vm, config.backends, config.devices, monitor, lines};
    for (auto& setup : all_) TRY(setup->open(context));
    for (machine::DeviceRequest& device : config.devices)
      device.by_default = device.driver != "virtio-blk-pci";
    for (const DeviceOption& device : options.devices) {
      config.devices.push_back({device.driver, device.values, device.id});
    }
    TRY(apply_globals(options.globals, config));
    memories_ = TRY(make_memories(options, config));
    return {};
  }
  Result<> board_made(machine::Vm& vm, machine::PcBoard& board) {
    std::lock_guard guard(vm.lock());
    for (auto& setup : all_) TRY(setup->board_made(vm, board));
    return {};
  }

 private:
  Memories memories_;
  std::array<std::unique_ptr<Setup>, 7> all_{make_object_setup(),  make_display_setup(), make_audio_setup(),
                                             make_network_setup(), make_storage_setup(), make_usb_setup(),
                                             make_monitor_setup()};
};

// Time comes from the vCPUs, and the date from the command line alone.
void make_deterministic(machine::PcConfig& config) {
  constexpr int64_t kNewYear2000 = 946'684'800;
  config.tsc_hz = 1'000'000'000;
  config.rtc_runs_with_vm = true;
  if (config.rtc_base.host) config.rtc_base = {.seconds = kNewYear2000 + config.rtc_base.seconds};
}

// -cpu …,tsc-frequency=: the host's counter, scaled.
Result<> set_tsc_rate(const cpu::CpuModel& model, const Choice& choice, const std::vector<cpu::Core*>& cores,
                      machine::PcConfig& config) {
  if (model.tsc_hz() == 0) return {};
  if (choice.deterministic() || !choice.accelerator->is_translator()) {
    return failf(ErrorKind::Unsupported,
                 "-cpu tsc-frequency: only with the translator, and not with deterministic=on");
  }
  config.tsc_hz = model.tsc_hz();
  auto ratio = (static_cast<unsigned __int128>(model.tsc_hz()) << 32) / machine::host_tsc_hz();
  for (cpu::Core* core : cores) core->tsc_ratio = static_cast<uint64_t>(ratio);
  return {};
}

// The monitor's `gdbserver`: ends the one there is, and begins another unless it is to be "none". vCPUs
// still, machine lock held.
Result<> serve_debugger(machine::Vm& vm, const engine::Accelerator& accelerator,
                        std::unique_ptr<gdb::Server>& debugger, const std::string& words) {
  for (unsigned i = 0; debugger && i < vm.cpus(); ++i)
    vm.vcpu(i).call([](cpu::Engine& engine) { engine.set_debug(nullptr); });
  debugger.reset();
  if (words != "none") debugger = TRY(gdb::Server::create(vm, accelerator, words));
  return {};
}

monitor::Context make_monitor_context(const SystemOptions& options, machine::Vm& vm, Lines& lines,
                                      const SmpChoice& smp, const engine::Accelerator& accelerator) {
  monitor::Context context{.vm = vm, .chardevs = lines.all()};
  context.accelerator = &accelerator;
  context.name = options.name.guest;
  context.uuid = options.uuid;
  context.version = kCompatibleVersion;
  context.machine_type = options.machine.type;
  const std::string cpu = options.cpu.value_or("qemu64");
  context.cpu_type = cpu.substr(0, cpu.find(','));
  context.ram_bytes = options.memory.size;
  context.command_line_options = describe_command_line;
  context.topology = {smp.topology.cores, smp.topology.threads};
  return context;
}

Result<> set_up_log(const SystemOptions& options) {
  if (!options.log_file.empty()) TRY_IN(set_log_file(options.log_file), "-D " + options.log_file);
  if (!options.log_items.empty()) TRY_IN(set_log_items(options.log_items), "-d " + options.log_items);
  return {};
}

}  // namespace

Result<int> run_machine(const SystemOptions& options) {
  Background background;
  PidFile pid_file;
  if (options.monitor.daemonize) TRY(background.enter());
  if (!options.monitor.pidfile.empty()) TRY(pid_file.create(options.monitor.pidfile));
  machine::begin_tsc_measurement();
  TRY(set_up_log(options));
  const NameOptions& name = options.name;
  set_message_prefix(options.messages.timestamp, options.messages.guest_name ? name.guest : "");
  if (options.overcommit.mem_lock && ::mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
    return fail_errno(errno, "-overcommit mem-lock=on");
  const std::string& process = name.process.empty() ? name.guest : name.process;
  if (!process.empty()) ::prctl(PR_SET_NAME, process.c_str());
  SmpChoice smp = TRY_IN(resolve_topology(options.smp, kMostVcpus), "-smp");
  Choice choice = TRY(choose_accelerator(options));
  auto& accelerator = choice.accelerator;
  auto model = TRY(choose_cpu(options, smp.topology, *accelerator));
  TRY(check_memory(options, *model));

  machine::Vm vm({.reboot = !options.no_reboot,
                  .shutdown = !options.no_shutdown,
                  .start_paused = options.start_paused,
                  .one_at_a_time = choice.options.thread == Threading::Single && !choice.deterministic(),
                  .deterministic = choice.deterministic(),
                  .state_log = state_log_options(choice.options),
                  .name_threads = name.debug_threads.value_or(true)});
  Lines lines(vm);
  TRY(lines.open(options));
  TRY(vm.create_vcpus(smp.cpus, *accelerator));
  std::vector<cpu::Core*> cores;
  for (unsigned i = 0; i < smp.cpus; ++i) {
    model->attach(vm.core(i), i);
    cores.push_back(&vm.core(i));
  }
  monitor::Context monitor = make_monitor_context(options, vm, lines, smp, *accelerator);
  std::unique_ptr<gdb::Server> debugger;
  monitor.gdbserver = [&](const std::string& words) {
    return serve_debugger(vm, *accelerator, debugger, words);
  };
  Setups setups;
  auto config = TRY(configure(options, smp, *model, *accelerator, lines));
  config.backends = make_backends(options, vm, lines);
  config.backends.balloon_changed = [&monitor](uint64_t lent) {
    if (monitor.emit)
      monitor.emit("BALLOON_CHANGE", fmt::format("{{\"actual\": {}}}", monitor.ram_bytes - lent));
  };
  TRY(setups.open(options, config, monitor, lines));
  if (choice.deterministic()) make_deterministic(config);
  TRY(set_tsc_rate(*model, choice, cores, config));
  async::Clock& rtc_clock = options.rtc.clock == RtcClock::Monotonic
                                ? static_cast<async::Clock&>(vm.loop().monotonic_clock())
                                : vm.loop().host_clock();
  auto board = TRY(machine::PcBoard::create(std::move(config), {.host = vm,
                                                                .lock = vm.lock(),
                                                                .virtual_clock = vm.loop().virtual_clock(),
                                                                .host_clock = vm.loop().host_clock(),
                                                                .cores = cores,
                                                                .rtc_clock = &rtc_clock}));
  accelerator->attach(board->memory());
  monitor.board = board.get();
  monitor.site = &board->site();
  monitor.boot_set = [&board](const std::string& order) { return board->set_boot_order(order); };
  TRY(setups.board_made(vm, *board));
  TRY(vm.start(*board));
  if (!options.gdb.empty()) {
    debugger = TRY_IN(gdb::Server::create(vm, *accelerator, options.gdb), "-gdb " + options.gdb);
  }
  TRY(background.ready());
  const int status = vm.run();
  constexpr int64_t kMoment = 100'000'000;
  while (!board->firmware_saved()) vm.loop().run_once(kMoment);
  return status;
}

}  // namespace rhea::system
