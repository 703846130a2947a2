/// One input of libFuzzer. A wrong answer ends the process, as a trap does, and libFuzzer keeps the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzTransport(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    if let mistake = FuzzTransport.run(Array(UnsafeBufferPointer(start: start, count: count))) {
        fatalError(mistake)
    }
    return 0
}
