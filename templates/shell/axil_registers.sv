// AXI4-Lite slave: registers of 32 bits, whose contents stand in a flat vector.
//
// ADDR_BITS  bits of a byte address; the lowest two are ignored, an access is a whole word
// WORDS      registers, at byte addresses 0, 4, ... 4*(WORDS-1)
// WRITABLE   bit i: register i takes writes
//
// words_i    word i is what a read of register i returns, as it is when its address is taken
// read_o     bit i for that cycle: register i is read
// write_o    bit i for a cycle: the bytes of wdata_o that wstrb_o names go to register i
//
// Where no register answers, a read returns 0 and SLVERR, and a write changes nothing and returns
// SLVERR; so does a write to a register that takes none. Protection bits would be ignored and have
// no port.
//
// Address and data of a write are taken in any order and at any distance. One read and one write
// are answered at a time, each without regard to the other: a read every 2 cycles, a write every 2.
// All outputs are registers, but read_o, which depends on the address that is offered.
`default_nettype none

module axil_registers #(
    parameter int unsigned      ADDR_BITS = 12,
    parameter int unsigned      WORDS     = 4,
    parameter logic [WORDS-1:0] WRITABLE  = '0
) (
    input  wire logic                 clk_i,
    input  wire logic                 rst_i,
    input  wire logic                 s_awvalid_i,
    output      logic                 s_awready_o,
    input  wire logic [ADDR_BITS-1:0] s_awaddr_i,
    input  wire logic                 s_wvalid_i,
    output      logic                 s_wready_o,
    input  wire logic [31:0]          s_wdata_i,
    input  wire logic [3:0]           s_wstrb_i,
    output      logic                 s_bvalid_o,
    input  wire logic                 s_bready_i,
    output      logic [1:0]           s_bresp_o,
    input  wire logic                 s_arvalid_i,
    output      logic                 s_arready_o,
    input  wire logic [ADDR_BITS-1:0] s_araddr_i,
    output      logic                 s_rvalid_o,
    input  wire logic                 s_rready_i,
    output      logic [31:0]          s_rdata_o,
    output      logic [1:0]           s_rresp_o,
    input  wire logic [32*WORDS-1:0]  words_i,
    output wire logic [WORDS-1:0]     read_o,
    output wire logic [WORDS-1:0]     write_o,
    output      logic [31:0]          wdata_o,
    output      logic [3:0]           wstrb_o
);
  localparam logic [1:0] OKAY = 2'b00, SLVERR = 2'b10;
  localparam int unsigned INDEX_BITS = ADDR_BITS - 2;
  localparam int unsigned NEAR_BITS = WORDS > 1 ? $clog2(WORDS) : 1;

  if (ADDR_BITS < 3 || WORDS < 1 || WORDS > 2 ** INDEX_BITS) begin : gen_bad_words
    $error("axil_registers: ADDR_BITS must be at least 3 and reach WORDS registers");
  end

  logic [WORDS-1:0] ar_select, aw_select, selected;  // selected: of the write that is held
  for (genvar i = 0; i < WORDS; i++) begin : gen_select
    assign ar_select[i] = s_araddr_i[ADDR_BITS-1:2] == INDEX_BITS'(i);
    assign aw_select[i] = s_awaddr_i[ADDR_BITS-1:2] == INDEX_BITS'(i) && WRITABLE[i];
  end

  // verilator lint_off UNUSEDSIGNAL
  wire logic unused = &{1'b0, s_araddr_i[1:0], s_awaddr_i[1:0]};
  // verilator lint_on UNUSEDSIGNAL

  // A multiplexer over a power of two costs less than selecting each word by its own address.
  wire logic [32*2**NEAR_BITS-1:0] words = (32 * 2 ** NEAR_BITS)'(words_i);
  wire logic [31:0] word = |ar_select ? words[32*s_araddr_i[2+:NEAR_BITS]+:32] : 32'd0;

  wire logic ar_take = s_arvalid_i && s_arready_o;
  assign read_o = ar_take ? ar_select : '0;
  assign s_rvalid_o = !s_arready_o;  // an address is taken once the last answer has gone

  always_ff @(posedge clk_i) begin
    if (rst_i) s_arready_o <= 1'b1;
    else if (ar_take || s_rready_i) s_arready_o <= !ar_take;
    if (ar_take) begin
      s_rdata_o <= word;
      s_rresp_o <= |ar_select ? OKAY : SLVERR;
    end
  end

  // Address and data wait for one another, and for the answer to the write before.
  wire logic commit = !s_awready_o && !s_wready_o && !s_bvalid_o;
  assign write_o = commit ? selected : '0;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      s_awready_o <= 1'b1;
      s_wready_o  <= 1'b1;
      s_bvalid_o  <= 1'b0;
    end else begin
      s_awready_o <= s_awready_o ? !s_awvalid_i : commit;
      s_wready_o  <= s_wready_o ? !s_wvalid_i : commit;
      s_bvalid_o  <= s_bvalid_o ? !s_bready_i : commit;
    end
    if (s_awready_o) selected <= aw_select;
    if (s_wready_o) begin
      wdata_o <= s_wdata_i;
      wstrb_o <= s_wstrb_i;
    end
    if (commit) s_bresp_o <= |selected ? OKAY : SLVERR;
  end
endmodule

`default_nettype wire
