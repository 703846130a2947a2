/// One input of libFuzzer. A wrong answer ends the process, as a trap does, and libFuzzer keeps the input.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzText(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    if let mistake = FuzzText.run(Array(UnsafeBufferPointer(start: start, count: count))) {
        fatalError(mistake)
    }
    return 0
}
