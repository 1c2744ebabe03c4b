// The network: back ends of -netdev, -nic and -net, their cards, captures, and the default card.
#include "net/network.h"

#include "base/log.h"
#include "tools/system/setup/setup.h"

namespace rhea::system {
namespace {

struct Model {
  std::string_view name;
  const char* driver;
};
constexpr Model kModels[] = {{"e1000", "e1000"},
                             {"e1000-82540em", "e1000"},
                             {"e1000e", "e1000e"},
                             {"virtio", "virtio-net-pci"},
                             {"virtio-net-pci", "virtio-net-pci"}};

class NetworkSetup final : public Setup, private machine::RunListener {
 public:
  ~NetworkSetup() override {
    if (vm_ != nullptr) vm_->remove_listener(*this);
  }

  Result<> open(SetupContext& context) override {
    const std::lock_guard guard(context.vm.lock());
    async::EventLoop& loop = context.vm.loop();
    network_ =
        std::make_unique<net::Network>(net::Network::Wiring{.loop = loop, .clock = loop.virtual_clock()});
    context.backends.network = network_.get();
    context.backends.netdev = [this](const std::string& id) { return network_->claim(id); };
    const NetworkOptions& options = context.options.network;
    for (const auto& item : options.items) TRY_IN(open_item(context, item), item.words);
    for (const auto& dump : options.dumps)
      TRY_IN(network_->add_dump(dump), "-object filter-dump,id=" + dump.id);
    if (options.said || context.options.nodefaults) return {};
    TRY(open_item(context, {.words = "", .nic = NicOptions(), .on_hub = true}));
    net::NetdevOptions user{.id = "", .kind = net::UserOptions()};
    return open_item(context, {.words = "", .back_end = std::move(user), .on_hub = true});
  }

  Result<> board_made(machine::Vm& vm, machine::PcBoard&) override {
    for (const std::string& line : network_->loose_ends()) log_warn("{}", line);
    network_->set_running(false);
    vm_ = &vm;
    vm.add_listener(*this);
    return {};
  }

 private:
  void state_changed(machine::RunState, machine::RunState to) override {
    network_->set_running(to == machine::RunState::Running);
  }

  Result<> open_item(SetupContext& context, const NetworkOptions::Item& item) {
    std::string netdev;
    if (item.back_end) {
      net::NetdevOptions options = *item.back_end;
      if (options.id.empty()) options.id = network_->next_name();
      netdev = options.id;
      TRY(network_->add(options));
      if (item.on_hub) return network_->put_on_hub(netdev, 0);
    }
    if (!item.nic) return {};
    if (!item.nic->netdev.empty()) netdev = item.nic->netdev;
    if (netdev.empty()) netdev = network_->make_hub_port(0);
    return add_card(context, *item.nic, netdev);
  }

  static Result<> add_card(SetupContext& context, const NicOptions& nic, const std::string& netdev) {
    const bool q35 = context.options.machine.machine().chipset == machine::Chipset::Q35;
    const std::string model = !nic.model.empty() ? nic.model : q35 ? "e1000e" : "e1000";
    const char* driver = nullptr;
    for (const Model& known : kModels)
      if (known.name == model) driver = known.driver;
    if (driver == nullptr) return failf(ErrorKind::Unsupported, "Unsupported NIC model: {}", model);
    machine::DeviceRequest request{.driver = driver, .values = {{"netdev", netdev}}, .id = nic.name};
    if (!nic.mac.empty()) request.values.push_back({"mac", nic.mac});
    if (!nic.addr.empty()) request.values.push_back({"addr", nic.addr});
    if (nic.vectors) request.values.push_back({"vectors", std::to_string(*nic.vectors)});
    context.devices.push_back(std::move(request));
    return {};
  }

  std::unique_ptr<net::Network> network_;
  machine::Vm* vm_ = nullptr;
};

}  // namespace

std::unique_ptr<Setup> make_network_setup() {
  return std::make_unique<NetworkSetup>();
}

}  // namespace rhea::system
