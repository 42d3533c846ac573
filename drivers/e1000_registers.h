// SPDX-License-Identifier: MIT
/* Registers of Intel's 82540EM (e1000) and 82574L (e1000e). Names and sections are those of "PCI/
 * PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (8254x), chapter 13
 * "Register Descriptions", and of "Intel 82574 GbE Controller Family Datasheet", chapter 10
 * "Driver Programming Interface". Invariant: a register that only one of the two has stands under
 * its name. Used by drivers/e1000*.c. */
#pragma once

#define E1000_REGISTER_BYTES 0x20000 /* BAR 0 */

/* "Device Control Register", "Device Status Register" */
#define E1000_CTRL                 0x0000
#define E1000_CTRL_MASTER_DISABLE  (1u << 2) /* e1000e: GIO master disable */
#define E1000_CTRL_LINK_RESET      (1u << 3)
#define E1000_CTRL_AUTO_SPEED      (1u << 5) /* ASDE */
#define E1000_CTRL_SET_LINK_UP     (1u << 6)
#define E1000_CTRL_INVERT_LOSS     (1u << 7) /* ILOS */
#define E1000_CTRL_FORCE_SPEED     (1u << 11)
#define E1000_CTRL_FORCE_DUPLEX    (1u << 12)
#define E1000_CTRL_RESET           (1u << 26)
#define E1000_CTRL_RECEIVE_FLOW    (1u << 27)
#define E1000_CTRL_TRANSMIT_FLOW   (1u << 28)
#define E1000_CTRL_VLAN_MODE       (1u << 30)
#define E1000_CTRL_PHY_RESET       (1u << 31)
#define E1000_STATUS               0x0008
#define E1000_STATUS_LINK_UP       (1u << 1)
#define E1000_STATUS_MASTER_ENABLE (1u << 19) /* e1000e: requests are still outstanding */

/* "EEPROM Read Register": where the parts of it stand differs, see struct e1000_model. */
#define E1000_EERD            0x0014
#define E1000_EERD_START      (1u << 0)
#define E1000_EERD_DATA_SHIFT 16

/* e1000e, "Extended Device Control Register" */
#define E1000_CTRL_EXT               0x0018
#define E1000_CTRL_EXT_AUTO_MASK_MSI (1u << 24) /* EIAME: IAM masks what MSI-X announces */
#define E1000_CTRL_EXT_AUTO_MASK     (1u << 27) /* IAME: IAM masks when ICR is read */

/* "Flow Control" */
#define E1000_FCAL  0x0028
#define E1000_FCAH  0x002c
#define E1000_FCT   0x0030
#define E1000_FCTTV 0x0170

/* "Interrupt Cause Read", "Interrupt Throttling", "Interrupt Mask Set/Read", "... Clear" */
#define E1000_ICR                0x00c0
#define E1000_ITR                0x00c4
#define E1000_IMS                0x00d0
#define E1000_IMC                0x00d8
#define E1000_CAUSE_LINK         (1u << 2)              /* LSC */
#define E1000_CAUSE_RECEIVE_LOW  (1u << 4)              /* RXDMT0 */
#define E1000_CAUSE_OVERRUN      (1u << 6)              /* RXO */
#define E1000_CAUSE_RECEIVED     (1u << 7)              /* RXT0 */
#define E1000_CAUSE_QUEUE(queue) (1u << (20 + (queue))) /* e1000e with MSI-X: RXQ0, RXQ1 */
#define E1000_CAUSE_OTHER        (1u << 24)             /* e1000e with MSI-X */
#define E1000_CAUSES_ALL         0xffffffffu
#define E1000_INTERVAL_NS        256 /* the unit of ITR and EITR */

/* e1000e, "Extended Interrupt Auto Clear", "Interrupt Acknowledge Auto-Mask", "Interrupt Vector
 * Allocation Registers", "Extended Interrupt Throttling Rate" */
#define E1000_EIAC            0x00dc
#define E1000_IAM             0x00e0
#define E1000_IVAR            0x00e4
#define E1000_IVAR_VALID      (1u << 3)
#define E1000_IVAR_RECEIVE(i) (4 * (i)) /* shifts */
#define E1000_IVAR_OTHER      16
#define E1000_EITR(vector)    (0x00e8 + 4 * (vector))

/* "Receive Control Register" */
#define E1000_RCTL                0x0100
#define E1000_RCTL_ENABLE         (1u << 1)
#define E1000_RCTL_ALL_BROADCASTS (1u << 15) /* BAM */
#define E1000_RCTL_BUFFER_2048    (0u << 16) /* BSIZE 0 with BSEX 0 */
#define E1000_RCTL_STRIP_CRC      (1u << 26) /* SECRC */

/* "Transmit Control Register", "Transmit IPG Register" */
#define E1000_TCTL                 0x0400
#define E1000_TCTL_ENABLE          (1u << 1)
#define E1000_TCTL_PAD_SHORT       (1u << 3)
#define E1000_TCTL_COLLISION_TRIES (15u << 4)
#define E1000_TCTL_COLLISION_SPAN  (64u << 12) /* full duplex */
#define E1000_TCTL_MANY_READS      (1u << 28)  /* e1000e: MULR */
#define E1000_TIPG                 0x0410
#define E1000_TIPG_COPPER          (10u | 8u << 10 | 6u << 20)
#define E1000_TIPG_82574           (8u | 8u << 10 | 6u << 20)

/* "Receive Descriptor Base Address", "... Length", "... Head", "... Tail", and the same for
 * transmit. The second queue of the e1000e stands E1000_QUEUE_STRIDE behind the first. */
#define E1000_QUEUE_STRIDE  0x100
#define E1000_RDBAL(queue)  (0x2800 + E1000_QUEUE_STRIDE * (queue))
#define E1000_RDBAH(queue)  (0x2804 + E1000_QUEUE_STRIDE * (queue))
#define E1000_RDLEN(queue)  (0x2808 + E1000_QUEUE_STRIDE * (queue))
#define E1000_RDH(queue)    (0x2810 + E1000_QUEUE_STRIDE * (queue))
#define E1000_RDT(queue)    (0x2818 + E1000_QUEUE_STRIDE * (queue))
#define E1000_RXDCTL(queue) (0x2828 + E1000_QUEUE_STRIDE * (queue))
#define E1000_RDTR          0x2820
#define E1000_RADV          0x282c
#define E1000_TDBAL(queue)  (0x3800 + E1000_QUEUE_STRIDE * (queue))
#define E1000_TDBAH(queue)  (0x3804 + E1000_QUEUE_STRIDE * (queue))
#define E1000_TDLEN(queue)  (0x3808 + E1000_QUEUE_STRIDE * (queue))
#define E1000_TDH(queue)    (0x3810 + E1000_QUEUE_STRIDE * (queue))
#define E1000_TDT(queue)    (0x3818 + E1000_QUEUE_STRIDE * (queue))
#define E1000_TXDCTL(queue) (0x3828 + E1000_QUEUE_STRIDE * (queue))
#define E1000_TARC(queue)   (0x3840 + E1000_QUEUE_STRIDE * (queue)) /* e1000e */
#define E1000_TIDV          0x3820
#define E1000_TADV          0x382c
#define E1000_TARC_ENABLE   (1u << 10)
/* "Transmit Descriptor Control": GRAN counts thresholds in descriptors; the 82574 wants bit 22 set.
 */
#define E1000_TXDCTL_DESCRIPTORS (1u << 24)
#define E1000_TXDCTL_82574       (1u << 22)

/* "Receive Checksum Control", "Receive Filter Control" (e1000e) */
#define E1000_RXCSUM             0x5000
#define E1000_RXCSUM_HASH        (1u << 13) /* PCSD: the hash stands where a checksum stood */
#define E1000_RFCTL              0x5008
#define E1000_RFCTL_NO_ISCSI     (1u << 0)
#define E1000_RFCTL_NO_NFS_WRITE (1u << 6)
#define E1000_RFCTL_NO_NFS_READ  (1u << 7)
#define E1000_RFCTL_EXTENDED     (1u << 15) /* EXSTEN: extended receive descriptors */

/* "Multicast Table Array", "Receive Address Low", "... High" */
#define E1000_MTA(word) (0x5200 + 4 * (word))
#define E1000_MTA_WORDS 128
#define E1000_RAL       0x5400
#define E1000_RAH       0x5404
#define E1000_RAH_VALID (1u << 31)

/* e1000e, "Multiple Receive Queues Command", "Redirection Table", "RSS Random Key" */
#define E1000_MRQC             0x5818
#define E1000_MRQC_RSS         (1u << 0)
#define E1000_MRQC_TCP_IPV4    (1u << 16)
#define E1000_MRQC_IPV4        (1u << 17)
#define E1000_RETA(word)       (0x5c00 + 4 * (word))
#define E1000_RETA_WORDS       32
#define E1000_RETA_QUEUE_SHIFT 7 /* in each of its bytes */
#define E1000_RSSRK(word)      (0x5c80 + 4 * (word))
#define E1000_RSSRK_WORDS      10

/* "Statistics Registers": cleared by reading, and they stop at their greatest value. */
#define E1000_CRCERRS 0x4000
#define E1000_RXERRC  0x400c
#define E1000_MPC     0x4010
#define E1000_RLEC    0x4040
#define E1000_GPRC    0x4074
#define E1000_BPRC    0x4078
#define E1000_MPRC    0x407c
#define E1000_GPTC    0x4080
#define E1000_GORCL   0x4088
#define E1000_GOTCL   0x4090
#define E1000_RNBC    0x40a0
#define E1000_RUC     0x40a4
#define E1000_ROC     0x40ac
#define E1000_TPR     0x40d0
#define E1000_TPT     0x40d4
