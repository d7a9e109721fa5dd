//! Are a step's ports free, and if not, who has them.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, TcpListener},
};

use crate::launcher::StartError;

/// Checks that every port can be listened on. What is free now may be taken a moment later; but what is taken now
/// would otherwise show only as a worker that dies after it has loaded its weights.
pub(crate) fn check_free(address: IpAddr, ports: &[u16]) -> Result<(), StartError> {
    for &port in ports {
        match TcpListener::bind(SocketAddr::new(address, port)) {
            Ok(_free) => {}
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                return Err(StartError::PortTaken { port, address, owner: owner(address, port) });
            }
            Err(source) => return Err(StartError::Port { port, address, source }),
        }
    }
    Ok(())
}

/// `NAME (process PID)` of whoever listens there. Processes of other users cannot be looked into.
fn owner(address: IpAddr, port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listening_inodes(&table, address, port))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    for process in processes {
        let pid = process.file_name().into_string().ok().filter(|name| name.parse::<u32>().is_ok());
        let (Some(pid), Ok(files)) = (pid, fs::read_dir(process.path().join("fd"))) else { continue };
        let holds =
            files.filter_map(Result::ok).filter_map(|file| fs::read_link(file.path()).ok()).any(|target| {
                target
                    .to_str()
                    .and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'))
                    .is_some_and(|inode| inodes.iter().any(|listening| listening == inode))
            });
        if holds {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("`{}` (process {pid})", name.trim_end()));
        }
    }
    None
}

/// Inodes of the sockets in one of the kernel's tables that listen on the port, at the address or at all addresses.
fn listening_inodes(table: &str, address: IpAddr, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            let (host, local_port) = local.split_once(':')?;
            let everywhere = host.bytes().all(|digit| digit == b'0');
            let here = everywhere || host == table_form(address);
            (*state == LISTEN && here && u16::from_str_radix(local_port, 16).ok()? == port)
                .then(|| (*inode).to_owned())
        })
        .collect()
}

/// The address as the kernel's tables show it: each 32-bit word as a number of this machine.
fn table_form(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:08X}", u32::from_ne_bytes(address.octets())),
        IpAddr::V6(address) => {
            let octets = address.octets();
            let word =
                |at: usize| u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
            format!("{:08X}{:08X}{:08X}{:08X}", word(0), word(4), word(8), word(12))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_free_and_a_taken_one_names_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_free("127.0.0.1".parse().unwrap(), &[port]).unwrap_err().to_string();
        let own_pid = std::process::id();
        assert!(error.starts_with(&format!("port {port} on 127.0.0.1 is taken by `")), "{error}");
        assert!(error.ends_with(&format!("(process {own_pid})")), "{error}");
        // Virtual nodes of one machine do not disturb each other.
        check_free("127.0.1.77".parse().unwrap(), &[port]).unwrap();
    }

    #[test]
    fn a_listener_on_all_addresses_takes_every_one() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = check_free("127.0.1.2".parse().unwrap(), &[port]).unwrap_err();
        assert!(matches!(error, StartError::PortTaken { owner: Some(_), .. }), "{error}");
    }
}
