// Files with room in them: spares, new ones, and the reserve for when there can be no new ones.
extension SegmentWriter {
    /// The size of an ordinary segment.
    var segmentBytes: Int { max(configuration.segmentBytes, Journal.Configuration.minSegmentBytes) }

    /// How much room there is, as far as this thread knows.
    var room: Journal.Room {
        guard shortage != nil else { return .ample }
        let rest = active.map { $0.byteCount - tail } ?? 0
        let spares = catalogue.withLock { $0.spares.count }
        return spares > 0 || rest > segmentBytes / 4 ? .reserve : .none
    }

    /// Takes a spare file of this size out of the catalogue, if more than so many are left then.
    func takeSpare(of byteCount: Int, keeping kept: Int) -> Catalogue.Spare? {
        catalogue.withLock { state in
            guard state.spares.count > kept else { return nil }
            guard let position = state.spares.firstIndex(where: { $0.byteCount == byteCount }) else { return nil }
            return state.spares.remove(at: position)
        }
    }

    /// Makes a file of this size. Returns the reason if there is no room for it; then there is none.
    func make(_ name: String, _ byteCount: Int) throws(JournalError) -> JournalError? {
        guard catalogue.bytesOnDisk + byteCount <= configuration.maxBytes else {
            return JournalError(
                .sizeLimit,
                "The journal takes all of its \(configuration.maxBytes) bytes (max_bytes). It goes on when readers have "
                    + "let a segment go.",
                path: configuration.directory
            )
        }
        let path = configuration.path(name)
        do throws(DiskError) {
            try disk.open(path, create: true).allocate(byteCount)
            return nil
        } catch {
            let failure = JournalError(error, as: .writeFailed)
            guard failure.isWantOfSpace else { throw failure }
            try? disk.remove(path)
            return failure
        }
    }

    /// Makes what is missing of the reserve. Returns the reason if there is no room for all of it.
    func fillReserve() throws(JournalError) -> JournalError? {
        while catalogue.withLock({ $0.spares.count }) < configuration.reserveSegments {
            let taken = catalogue.withLock { $0.spares.map(\.name) }
            // Retired segments have names of their own; these count down from the other end.
            var number = UInt64.max
            while taken.contains(FileName.spare(number)) { number -= 1 }
            let spare = Catalogue.Spare(name: FileName.spare(number), byteCount: segmentBytes)
            if let lack = try make(spare.name, spare.byteCount) { return lack }
            catalogue.withLock { $0.spares.append(spare) }
        }
        return nil
    }
}
