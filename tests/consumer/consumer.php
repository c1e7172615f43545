<?php
// Reads the status file over and over, as a web page does at each request, and tells what it saw.
// consumer.php FILE SECONDS: prints {"reads", "documents", "faults"}.

declare(strict_types=1);

const KEYS = [
    'airport_id' => 'string',
    'connection_name' => 'string',
    'status' => 'string',
    'last_connected' => 'integer',
    'last_disconnected' => 'integer',
    'uptime_seconds' => 'integer',
    'health_check' => 'string',
];
const WORDS = [
    'status' => ['up', 'down', 'connecting'],
    'health_check' => ['pass', 'fail', 'unknown'],
];

/** @return string[] what is not as agreed */
function faults(mixed $status): array
{
    if (!is_array($status) || !is_int($status['timestamp'] ?? null)) {
        return ['timestamp is not an integer'];
    }
    if (!is_array($status['connections'] ?? null)) {
        return ['connections is not an object'];
    }
    $found = [];
    foreach ($status['connections'] as $name => $connection) {
        if (!is_array($connection)) {
            $found[] = "$name is not an object";
            continue;
        }
        foreach (KEYS as $key => $type) {
            if (!array_key_exists($key, $connection)) {
                $found[] = "$name has no $key";
            } elseif (gettype($connection[$key]) !== $type) {
                $found[] = "$name: $key is a " . gettype($connection[$key]);
            } elseif (isset(WORDS[$key]) && !in_array($connection[$key], WORDS[$key], true)) {
                $found[] = "$name: $key is {$connection[$key]}";
            }
        }
        if (($connection['connection_name'] ?? '') !== (string) $name) {
            $found[] = "$name calls itself otherwise";
        }
        // What the page shows of one airport.
        $is_up = ($status['connections'][$name]['status'] ?? null) === 'up';
        if ($is_up && ($connection['last_connected'] ?? 0) <= 0) {
            $found[] = "$name is up, but never came up";
        }
    }
    return $found;
}

[, $file, $seconds] = $argv;
$reads = 0;
$documents = [];
$faults = [];
$end = microtime(true) + (float) $seconds;
do {
    $text = @file_get_contents($file);
    $reads += 1;
    if ($text === false) {
        $faults[] = 'the file is not there';
        continue;
    }
    $documents[crc32($text)] = true;
    try {
        $status = json_decode($text, true, 64, JSON_THROW_ON_ERROR);
        array_push($faults, ...faults($status));
    } catch (JsonException $error) {
        $faults[] = 'not JSON: ' . $error->getMessage() . ', ' . strlen($text) . ' bytes';
    }
} while (microtime(true) < $end && count($faults) < 20);
echo json_encode(['reads' => $reads, 'documents' => count($documents), 'faults' => $faults]), "\n";
