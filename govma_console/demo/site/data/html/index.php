<?php
// Front controller: the CMS stand-in reads its configuration and says which build answers.
$systemPath = __DIR__ . '/../system';
require $systemPath . '/user/config/config.php';
if (is_file($systemPath . '/ee/boot.php')) {
    require $systemPath . '/ee/boot.php';
}
$template = $systemPath . '/user/templates/portal/site.group/index.html';
$page = is_file($template) ? file_get_contents($template) : '';
header('Content-Type: text/html; charset=utf-8');
echo str_replace('{site_name}', htmlspecialchars($config['site_name']), $page);
