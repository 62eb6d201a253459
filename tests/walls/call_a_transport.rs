use countersign::broker::transport::Transports;

fn main() {
    let transports = Transports::default();
    let _ = transports.close();
}
