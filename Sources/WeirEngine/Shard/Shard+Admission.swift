import WeirBase
import WeirHash
import WeirXDS

/// From the first request of a type to its place in a group.
extension Shard {
    /// The type stream a request is about, made if it is the first of its type. Nil: the stream was refused.
    func findOrMake(
        _ id: SlotID, typeURL: ByteRange, node: ByteRange?, names: [ByteRange], in bytes: borrowing Span<UInt8>
    ) -> Int32? {
        if let node = node, let stream = self.streams[id] { self.noteNode(node, of: id, stream, in: bytes) }
        let existing = self.typeStream(of: id, typeURL: typeURL, in: bytes)
        if existing != TypeStream.none, !self.links[Int(id.index)].isKeyedByRequest { return existing }
        return self.make(id, existing, typeURL: typeURL, node: node, names: names, in: bytes)
    }

    /// The same for the first request of a type, and for every one whose names decide where it belongs.
    private func make(
        _ id: SlotID, _ existing: Int32, typeURL: ByteRange, node: ByteRange?, names: [ByteRange],
        in bytes: borrowing Span<UInt8>
    ) -> Int32? {
        guard let stream = self.streams[id] else { return nil }
        guard let type = self.type(of: stream, typeURL, in: bytes, id) else { return nil }
        guard self.links[Int(id.index)].typeCount < self.policy.maxTypesPerStream else {
            self.refuse(
                id, .resourceExhausted, .tooManyTypes,
                "more than \(self.policy.maxTypesPerStream) resource types on one stream")
            return nil
        }
        guard let group = self.group(of: id, stream, type, node: node, names: names, in: bytes) else { return nil }
        if existing != TypeStream.none {
            let isSame = self.view(of: existing)?.group == group
            return isSame ? existing : self.move(existing, of: id, to: group, type)
        }
        return self.makeTypeStream(id, view: self.view(of: group, type), type: type)
    }

    /// Counts nodes that differ from the stream's first, which holds (AGG-20). Most clients send theirs once; those that
    /// repeat it cost a digest.
    private func noteNode(
        _ node: ByteRange, of id: SlotID, _ stream: DownstreamStream, in bytes: borrowing Span<UInt8>
    ) {
        guard !node.isEmpty else { return }
        let digest = ContentHash(of: bytes.extracting(node.offset..<node.end)).low
        guard digest != stream.nodeDigest else { return }
        self.streams[id]?.nodeDigest = digest
        guard let identity = stream.identity, !Node.isSame(bytes.array(node), identity.encoded) else { return }
        self.nodeChanges += 1
    }

    /// The type a request is about: named on the aggregated service, implied on the others (SOTW-22). On the first
    /// request of an unknown type this makes a string; later ones are found by bytes.
    private func type(
        of stream: DownstreamStream, _ typeURL: ByteRange, in bytes: borrowing Span<UInt8>, _ id: SlotID
    ) -> XDSType? {
        if let bound = stream.service.type {
            let text = typeURL.isEmpty ? "" : bytes.string(typeURL)
            if text.isEmpty || text == bound.typeURL { return bound }
            self.refuse(
                id, .invalidArgument, .typeURL,
                "type_url \"\(text)\" on \(stream.service.path), which serves \(bound.typeURL) only")
            return nil
        }
        guard !typeURL.isEmpty else {
            self.refuse(
                id, .invalidArgument, .typeURL, "a request on the aggregated discovery service must have a type_url")
            return nil
        }
        return XDSType.of(typeURL: bytes.string(typeURL))
    }

    /// The group of a type on a stream, by the rules.
    private func group(
        of id: SlotID, _ stream: DownstreamStream, _ type: XDSType, node: ByteRange?, names: [ByteRange],
        in bytes: borrowing Span<UInt8>
    ) -> Int32? {
        if stream.identity != nil, stream.keyScope == .stream { return stream.group }
        let encoded: [UInt8]
        if let identity = stream.identity {
            encoded = identity.encoded
        } else if let node = node, !node.isEmpty {
            encoded = bytes.array(node)
        } else {
            self.refuse(
                id, .invalidArgument, .node, "the first request on a stream must carry a node, and this one has none")
            return nil
        }
        let request = KeyRequest(
            node: encoded, typeURL: type.typeURL, resourceNames: names.map { bytes.string($0) }, peer: stream.peer)
        switch self.resolve(request) {
        case .refused(let message):
            self.refuse(id, .invalidArgument, .noRule, message, claimed: encoded)
            return nil
        case .denied(let message):
            self.refuse(id, .permissionDenied, .identity, message, claimed: encoded)
            return nil
        case .group(let key, let upstream, let coldTimeout, let identity, let upstreamNode, let scope):
            let group = self.group(key, upstream, coldTimeout, upstreamNode, openedBy: request.node)
            if let digest = self.siblings[id], self.refuseSibling(id, digest, group) { return nil }
            if stream.identity == nil {
                self.streams[id]?.identity = identity
                self.streams[id]?.keyScope = scope
                self.links[Int(id.index)].isKeyedByRequest = scope == .request
                self.streams[id]?.takesTimeToLive =
                    stream.service.variant == .sotw && ClientFeatures.takesTimeToLive(node: encoded.span)
            }
            self.streams[id]?.group = group
            if stream.identity == nil, self.watch != nil { self.show(.connect, id) }
            return group
        }
    }

    func group(
        _ key: String, _ upstream: String, _ coldTimeout: Nanoseconds, _ node: [UInt8], openedBy opener: [UInt8]
    ) -> Int32 {
        if let index = self.groupIndex[key] { return index }
        let group = ShardGroup(key: key, upstream: upstream, coldTimeout: coldTimeout, disconnectedSince: self.now)
        let index: Int32
        if let free = self.freeGroups.popLast() {
            index = free
            self.groups[Int(index)] = group
        } else {
            index = Int32(self.groups.count)
            self.groups.append(group)
        }
        self.groupIndex[key] = index
        self.commands.append((key, .join(upstream: upstream, node: node, openedBy: opener)))
        return index
    }

    func view(of group: Int32, _ type: XDSType) -> Int32 {
        for index in self.groups[Int(group)]?.views ?? [] where self.views[Int(index)]?.type == type { return index }
        let view = TypeView(type: type, group: group, counterRow: self.counterRow(of: type))
        let index: Int32
        if let free = self.freeViews.popLast() {
            index = free
            self.views[Int(index)] = view
        } else {
            index = Int32(self.views.count)
            self.views.append(view)
        }
        self.groups[Int(group)]?.views.append(index)
        self.touchedViews.insert(index)
        return index
    }

    /// Moves a type to another group, because its names now have another key. The nonce goes on, so that an answer to
    /// the old group's last response is not taken for one to the new group's.
    private func move(_ existing: Int32, of id: SlotID, to group: Int32, _ type: XDSType) -> Int32 {
        let nonce = self.typeStreams[Int(existing)].nonce
        let hasNamed = self.typeStreams[Int(existing)].hasNamed
        self.unlink(existing, from: Int(id.index))
        self.removeTypeStream(existing)
        let index = self.makeTypeStream(id, view: self.view(of: group, type), type: type)
        self.typeStreams[Int(index)].nonce = nonce
        self.typeStreams[Int(index)].hasNamed = hasNamed
        return index
    }

    /// Tells the homes what this worker's streams want now, and forgets what nobody uses.
    func settleInterest() {
        var emptied: Set<Int32> = []
        // In push order: a control plane answers in the order in which it is asked (ORD-01).
        var touched = self.touchedViews.sorted(by: { self.interestOrder($0) > self.interestOrder($1) })
        while let index = touched.popLast() {
            guard let view = self.views[Int(index)] else { continue }
            if let change = view.takeInterest() { self.tell(change, view) }
            if !self.isWanted(view) { view.forgetContent() }
            guard view.streams == 0, view.staging.first == TypeStream.none else { continue }
            if view.staging.rest != TypeStream.none { touched.append(self.dissolve(view)) }
            self.views[Int(index)] = nil
            self.freeViews.append(index)
            self.groups[Int(view.group)]?.views.removeAll { $0 == index }
            emptied.insert(view.group)
        }
        self.touchedViews.removeAll(keepingCapacity: true)
        for index in emptied.sorted() { self.leave(index) }
    }

    private func interestOrder(_ view: Int32) -> (Int, Int32) { (self.views[Int(view)]?.type.pushOrder ?? .max, view) }

    func leave(_ index: Int32) {
        guard let group = self.groups[Int(index)], group.views.isEmpty else { return }
        self.commands.append((group.key, .leave))
        self.groupIndex[group.key] = nil
        self.groups[Int(index)] = nil
        self.freeGroups.append(index)
    }
}
