public import AsyncIO

extension EndpointPolicy {
    /// Waits as long as it takes: for tests that are not about time, on a machine as busy as it likes to be.
    public static var patient: EndpointPolicy {
        EndpointPolicy(connectTimeout: .seconds(3600), commandTimeout: nil, livenessTimeout: nil)
    }
}
