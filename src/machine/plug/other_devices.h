// Devices that QEMU 7.2 has for x86 and this program does not: who asks for one is told so, rather than that the name
// is wrong.
#pragma once

#include <algorithm>
#include <string_view>

namespace rhea::machine {

// In order.
inline constexpr std::string_view kOtherDevices[] = {
    "AC97", "AMDVI-PCI", "ES1370", "ac97", "acpi-erst", "adlib", "am53c974", "amd-iommu", "ati-vga",
    "ccid-card-emulated", "ccid-card-passthru", "cirrus-vga", "cs4231a", "ctucan_pci", "cxl-downstream",
    "cxl-rp", "cxl-type3", "cxl-upstream", "dc390", "e1000-82540em", "e1000-82544gc", "e1000-82545em",
    "es1370", "guest-loader", "gus", "hv-syndbg", "hyperv-testdev", "i2c-ddc", "i6300esb", "i82550",
    "i82551", "i82557a", "i82557b", "i82557c", "i82558a", "i82558b", "i82559a", "i82559b", "i82559c",
    "i82559er", "i82562", "i82801", "i82801b11-bridge", "ib700", "intel-iommu", "ioh3420",
    "ipmi-bmc-extern", "ipmi-bmc-sim", "ipoctal232", "isa-applesmc", "isa-cirrus-vga", "isa-ide",
    "isa-ipmi-bt", "isa-ipmi-kcs", "ivshmem-doorbell", "ivshmem-plain", "kvaser_pci", "lsi", "lsi53c810",
    "lsi53c895a", "megasas", "megasas-gen2", "mioe3680_pci", "mptsas1068", "ne2k_isa", "ne2k_pci", "nvdimm",
    "nvme", "nvme-ns", "nvme-subsys", "pc-dimm", "pci-bridge-seat", "pci-ipmi-bt", "pci-ipmi-kcs",
    "pci-ohci", "pci-serial", "pci-serial-2x", "pci-serial-4x", "pcm3680_pci", "pcnet", "piix3-ide",
    "piix4-ide", "pvpanic", "pvpanic-pci", "pvrdma", "pvscsi", "pxb", "pxb-cxl", "pxb-pcie", "qxl",
    "qxl-vga", "rocker", "rtl8139", "sb16", "scsi-block", "scsi-cd", "scsi-generic", "scsi-hd", "sd-card",
    "sdhci-pci", "secondary-vga", "sga", "smbus-ipmi", "tpci200", "tpm-crb", "tpm-tis", "tulip",
    "u2f-passthru", "usb-audio", "usb-bot", "usb-braille", "usb-ccid", "usb-host", "usb-mtp", "usb-net",
    "usb-redir", "usb-serial", "usb-uas", "usb-wacom-tablet", "vfio-pci", "vfio-pci-igd-lpc-bridge",
    "vfio-pci-nohotplug", "vhost-scsi", "vhost-scsi-pci", "vhost-scsi-pci-non-transitional",
    "vhost-scsi-pci-transitional", "vhost-user-blk", "vhost-user-blk-pci",
    "vhost-user-blk-pci-non-transitional", "vhost-user-blk-pci-transitional", "vhost-user-fs-device",
    "vhost-user-fs-pci", "vhost-user-gpio-device", "vhost-user-gpio-pci", "vhost-user-gpu",
    "vhost-user-gpu-pci", "vhost-user-i2c-device", "vhost-user-i2c-pci", "vhost-user-input",
    "vhost-user-input-pci", "vhost-user-rng", "vhost-user-rng-pci", "vhost-user-scsi",
    "vhost-user-scsi-pci", "vhost-user-scsi-pci-non-transitional", "vhost-user-scsi-pci-transitional",
    "vhost-user-vga", "vhost-user-vsock-device", "vhost-user-vsock-pci",
    "vhost-user-vsock-pci-non-transitional", "vhost-vsock-device", "vhost-vsock-pci",
    "vhost-vsock-pci-non-transitional", "virtio-9p", "virtio-9p-device", "virtio-9p-pci",
    "virtio-9p-pci-non-transitional", "virtio-9p-pci-transitional", "virtio-balloon-device",
    "virtio-blk-device", "virtio-crypto-device", "virtio-crypto-pci", "virtio-gpu", "virtio-gpu-device",
    "virtio-gpu-gl", "virtio-gpu-gl-device", "virtio-gpu-gl-pci", "virtio-gpu-pci", "virtio-input-host",
    "virtio-input-host-device", "virtio-input-host-pci", "virtio-iommu", "virtio-iommu-device",
    "virtio-iommu-pci", "virtio-keyboard", "virtio-keyboard-device", "virtio-keyboard-pci", "virtio-mem",
    "virtio-mem-pci", "virtio-mouse", "virtio-mouse-device", "virtio-mouse-pci", "virtio-net-device",
    "virtio-pmem", "virtio-pmem-pci", "virtio-rng-device", "virtio-scsi", "virtio-scsi-device",
    "virtio-scsi-pci", "virtio-scsi-pci-non-transitional", "virtio-scsi-pci-transitional",
    "virtio-serial-device", "virtio-tablet", "virtio-tablet-device", "virtio-tablet-pci", "virtio-vga",
    "virtio-vga-gl", "vmbus-bridge", "vmcoreinfo", "vmgenid", "vmware-svga", "vmxnet3", "x-pci-proxy-dev",
    "x3130-upstream", "xio3130-downstream"};
static_assert(std::ranges::is_sorted(kOtherDevices));

inline bool is_other_device(std::string_view name) {
  return std::ranges::binary_search(kOtherDevices, name);
}

}  // namespace rhea::machine
